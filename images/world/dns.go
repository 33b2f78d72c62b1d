package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"
)

const (
	maxQueries   = 1024 // at a time
	forwardWait  = 2 * time.Second
	negativeTTL  = 1
	maxHostsBody = 64 << 10
)

type dnsOptions struct {
	listen, control, clusterZone, clusterDNS string
}

func parseDNS(args []string) (dnsOptions, error) {
	var o dnsOptions
	flags := flag.NewFlagSet("dns", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main says what is wrong
	flags.StringVar(&o.listen, "listen", ":53", "address of the DNS server, UDP and TCP")
	flags.StringVar(&o.control, "control", ":8801", "address of the control API")
	flags.StringVar(&o.clusterZone, "cluster-zone", "cluster.local", "the only zone that is forwarded")
	flags.StringVar(&o.clusterDNS, "cluster-dns", "", "IP:PORT of the cluster's DNS")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if host, _, err := net.SplitHostPort(o.clusterDNS); err != nil || net.ParseIP(host) == nil {
		return o, fmt.Errorf("--cluster-dns must be IP:PORT, not %q", o.clusterDNS)
	}
	if _, ok := dns.IsDomainName(o.clusterZone); !ok || dns.CanonicalName(o.clusterZone) == "." {
		return o, fmt.Errorf("--cluster-zone must be a domain name below the root, not %q", o.clusterZone)
	}
	o.clusterZone = dns.CanonicalName(o.clusterZone)
	return o, nil
}

func runDNS(ctx context.Context, args []string, out io.Writer) error {
	options, err := parseDNS(args)
	if err != nil {
		return err
	}
	s, err := startDNS(options, out)
	if err != nil {
		return err
	}
	slog.Info("serving DNS", "instance", s.instance, "listen", options.listen, "control", options.control)
	<-ctx.Done()
	s.stop()
	return nil
}

// query is the journal's entry for one DNS question.
type query struct {
	stamp
	Remote    string   `json:"remote"`
	Transport string   `json:"transport"`
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Rcode     string   `json:"rcode,omitempty"`
	Answers   []string `json:"answers"`
	Delay     string   `json:"delay,omitempty"`
	Dropped   bool     `json:"dropped,omitempty"`
	Forwarded bool     `json:"forwarded,omitempty"`
}

func (q *query) found() ([]string, string) { return []string{q.Name}, q.Remote }

// dnsServer answers from its table, asks the cluster's DNS about the cluster
// zone, and nobody about anything else.
type dnsServer struct {
	options  dnsOptions
	instance string
	journal  *journal
	table    *hostTable
	busy     chan struct{}
	done     chan struct{}
	udp, tcp *dns.Server
	control  *http.Server
	address  net.Addr // of the control API
}

func startDNS(o dnsOptions, out io.Writer) (*dnsServer, error) {
	s := &dnsServer{
		options: o, instance: newInstance(), journal: newJournal(out), table: newHostTable(),
		busy: make(chan struct{}, maxQueries), done: make(chan struct{}),
	}
	control, err := listen(o.control, "control")
	if err != nil {
		return nil, err
	}
	s.address = control.Addr()
	listener, err := listen(o.listen, "dns")
	if err != nil {
		return nil, err
	}
	packets, err := net.ListenPacket("udp", listener.Addr().String())
	if err != nil {
		return nil, bindError(o.listen+"/udp", "dns", err)
	}
	s.tcp = &dns.Server{Listener: netutil.LimitListener(listener, maxControl), Handler: s}
	s.udp = &dns.Server{PacketConn: packets, Handler: s}
	for _, server := range []*dns.Server{s.tcp, s.udp} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() {
			if err := server.ActivateAndServe(); err != nil && !errors.Is(err, net.ErrClosed) {
				slog.Error("DNS server ended", "error", err)
			}
		}()
		<-started
	}
	identity := map[string]any{
		"instance": s.instance, "listen": listener.Addr().String(),
		"cluster_zone": o.clusterZone, "cluster_dns": o.clusterDNS,
	}
	mux := newControl(s.instance, "queries", identity, s.journal)
	mux.HandleFunc("GET /hosts", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{"instance": s.instance, "hosts": s.table.all()})
	})
	mux.HandleFunc("PUT /hosts/{name}", s.putHost)
	mux.HandleFunc("DELETE /hosts/{name}", s.deleteHost)
	s.control = newControlServer(mux)
	go serveUntilClosed(s.control, netutil.LimitListener(control, maxControl))
	return s, nil
}

func (s *dnsServer) stop() {
	close(s.done)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { _ = s.tcp.ShutdownContext(ctx) }) // the process ends anyway
	all.Go(func() { _ = s.udp.ShutdownContext(ctx) })
	all.Go(func() { closing(s.control) })
	all.Wait()
}

func (s *dnsServer) putHost(w http.ResponseWriter, r *http.Request) {
	name := dns.CanonicalName(r.PathValue("name"))
	if _, ok := dns.IsDomainName(name); !ok || name == "." {
		writeError(w, http.StatusBadRequest, "%q is not a host name", r.PathValue("name"))
		return
	}
	if s.isCluster(name) || isReverse(name) {
		writeError(w, http.StatusBadRequest, "%s lies in the cluster's zone or a reverse zone and is never answered from the table", name)
		return
	}
	answer := defaultAnswer()
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxHostsBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&answer)
	if err == nil {
		err = answer.check()
	}
	if answer.Addresses == nil { // written as null
		answer.Addresses = []netip.Addr{}
	}
	if err == nil {
		err = s.table.put(name, answer)
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, "%v", err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *dnsServer) deleteHost(w http.ResponseWriter, r *http.Request) {
	removed := s.table.remove(dns.CanonicalName(r.PathValue("name")))
	writeJSON(w, http.StatusOK, map[string]bool{"removed": removed})
}
