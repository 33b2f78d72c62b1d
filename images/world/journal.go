package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	journalEntries = 50_000
	journalBytes   = 64 << 20
)

// stamp is what every journal entry begins with.
type stamp struct {
	Seq  uint64 `json:"seq"`
	Time string `json:"time"`
}

func (s *stamp) set(seq uint64, now time.Time) {
	s.Seq, s.Time = seq, now.UTC().Format(time.RFC3339Nano)
}

// event is something a journal can keep and find again.
type event interface {
	set(seq uint64, now time.Time)
	// found says by which texts (part of them is enough) and by which
	// remote address (all of it) the event is found.
	found() (texts []string, remote string)
}

type entry struct {
	seq   uint64
	text  json.RawMessage
	texts []string
	ip    string
}

func (e entry) matches(wanted []string) bool {
	if len(wanted) == 0 {
		return true
	}
	return slices.ContainsFunc(wanted, func(w string) bool {
		// An address is whose connection it was. In a text it may be part of
		// another: 10.0.0.1 of 10.0.0.10.
		if _, err := netip.ParseAddr(w); err == nil {
			return e.ip == w
		}
		return slices.ContainsFunc(e.texts, func(t string) bool { return strings.Contains(t, w) })
	})
}

// journal numbers events, prints each as a line of JSON, and keeps the last
// ones. It is bounded in number and in bytes.
type journal struct {
	mu      sync.Mutex
	out     io.Writer
	seq     uint64
	bytes   int
	entries []entry
}

func newJournal(out io.Writer) *journal {
	return &journal{out: out}
}

// add records an event. When it returns, the event can be read by others.
func (j *journal) add(e event) {
	texts, remote := e.found()
	texts = slices.DeleteFunc(texts, func(t string) bool { return t == "" })
	ip := remote
	if address, err := netip.ParseAddrPort(remote); err == nil {
		ip = address.Addr().Unmap().String()
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	e.set(j.seq+1, time.Now())
	text, err := json.Marshal(e)
	if err != nil { // no event has a field that cannot be marshalled
		slog.Error("event not recorded", "error", err)
		return
	}
	j.seq++
	j.entries = append(j.entries, entry{j.seq, text, texts, ip})
	j.bytes += len(text)
	for len(j.entries) > journalEntries || j.bytes > journalBytes {
		j.bytes -= len(j.entries[0].text)
		j.entries[0] = entry{}
		j.entries = j.entries[1:]
	}
	if _, err := j.out.Write(append(slices.Clip(text), '\n')); err != nil {
		slog.Error("event not printed", "error", err)
	}
}

// after returns the kept events numbered above seq that match one of wanted
// (all when empty), the newest number given and the oldest number still kept.
func (j *journal) after(seq uint64, wanted []string) (events []json.RawMessage, newest, oldest uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	events = []json.RawMessage{}
	newest, oldest = j.seq, j.seq+1
	if len(j.entries) > 0 {
		oldest = j.entries[0].seq
	}
	first, _ := slices.BinarySearchFunc(j.entries, seq+1, func(e entry, s uint64) int {
		return int(int64(e.seq) - int64(s))
	})
	for _, e := range j.entries[first:] {
		if e.matches(wanted) {
			events = append(events, e.text)
		}
	}
	return events, newest, oldest
}
