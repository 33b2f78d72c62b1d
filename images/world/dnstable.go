package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxHosts     = 10_000
	maxAddresses = 256
)

// hostAnswer is what one name in the table is answered with.
type hostAnswer struct {
	Addresses []netip.Addr `json:"addresses"`
	TTL       uint32       `json:"ttl"`
	Rcode     string       `json:"rcode"`
	Delay     duration     `json:"delay"`
	Drop      bool         `json:"drop"`
}

func defaultAnswer() hostAnswer {
	return hostAnswer{Addresses: []netip.Addr{}, TTL: 1, Rcode: "NOERROR"}
}

func (a hostAnswer) check() error {
	if _, known := rcodes[a.Rcode]; !known {
		return fmt.Errorf("rcode must be NOERROR, NXDOMAIN or SERVFAIL, not %q", a.Rcode)
	}
	if a.Delay < 0 || time.Duration(a.Delay) > maxDelay {
		return fmt.Errorf("delay must be 0s to %s", maxDelay)
	}
	if len(a.Addresses) > maxAddresses {
		return fmt.Errorf("at most %d addresses", maxAddresses)
	}
	return nil
}

var rcodes = map[string]int{
	"NOERROR": dns.RcodeSuccess, "NXDOMAIN": dns.RcodeNameError, "SERVFAIL": dns.RcodeServerFailure,
}

// duration is a time.Duration that JSON writes as "1.5s".
type duration time.Duration

func (d duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}

func (d *duration) UnmarshalJSON(text []byte) error {
	var written string
	if err := json.Unmarshal(text, &written); err != nil {
		return errors.New(`delay must be written like "250ms"`)
	}
	parsed, err := time.ParseDuration(written)
	*d = duration(parsed)
	return err
}

// hostTable holds the names the world knows. Keys are canonical: lower case
// and with a final dot.
type hostTable struct {
	mu    sync.RWMutex
	hosts map[string]hostAnswer
}

func newHostTable() *hostTable {
	return &hostTable{hosts: map[string]hostAnswer{}}
}

func (t *hostTable) put(name string, answer hostAnswer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.hosts[name]; !known && len(t.hosts) >= maxHosts {
		return fmt.Errorf("the table is full: %d names", maxHosts)
	}
	t.hosts[name] = answer
	return nil
}

func (t *hostTable) remove(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.hosts[name]
	delete(t.hosts, name)
	return known
}

// all returns the table with names as a person writes them.
func (t *hostTable) all() map[string]hostAnswer {
	t.mu.RLock()
	defer t.mu.RUnlock()
	hosts := make(map[string]hostAnswer, len(t.hosts))
	for name, answer := range t.hosts {
		hosts[strings.TrimSuffix(name, ".")] = answer
	}
	return hosts
}

// find prefers the name itself, then the wildcard of the nearest parent.
func (t *hostTable) find(name string) (hostAnswer, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if answer, ok := t.hosts[name]; ok {
		return answer, true
	}
	for start, end := dns.NextLabel(name, 0); !end; start, end = dns.NextLabel(name, start) {
		if answer, ok := t.hosts["*."+name[start:]]; ok {
			return answer, true
		}
	}
	return hostAnswer{}, false
}
