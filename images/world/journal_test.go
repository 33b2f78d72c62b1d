package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestJournalKeepsTheLastAndPrintsAll(t *testing.T) {
	var printed bytes.Buffer
	j := newJournal(&printed)
	for i := range journalEntries + 5 {
		j.add(&receipt{Nonce: fmt.Sprintf("n%d.", i), Remote: "10.0.0.1:1"})
	}
	all, newest, oldest := j.after(0, nil)
	if len(all) != journalEntries || newest != journalEntries+5 || oldest != 6 {
		t.Errorf("%d kept, %d to %d", len(all), oldest, newest)
	}
	if lines := bytes.Count(printed.Bytes(), []byte("\n")); lines != journalEntries+5 {
		t.Errorf("%d lines printed", lines)
	}
	if last, _, _ := j.after(newest-1, nil); len(last) != 1 {
		t.Errorf("%d events after the last but one", len(last))
	}
	for _, seq := range []uint64{newest, newest + 10} {
		if none, _, _ := j.after(seq, nil); len(none) != 0 {
			t.Errorf("%d events after the last", len(none))
		}
	}
}

func TestJournalIsBoundedInBytes(t *testing.T) {
	j := newJournal(io.Discard)
	for range 3000 {
		j.add(&receipt{Path: strings.Repeat("x", 64<<10)})
	}
	if j.bytes > journalBytes || len(j.entries) == 0 {
		t.Errorf("%d bytes in %d entries", j.bytes, len(j.entries))
	}
}

func TestMatching(t *testing.T) {
	j := newJournal(io.Discard)
	j.add(&receipt{Nonce: "abc-1", Remote: "10.0.0.1:1"})
	j.add(&receipt{Host: "a.test:80", Remote: "[::ffff:10.0.0.2]:1"})
	j.add(&receipt{SNI: "b.test", Remote: "[fd00::1]:1"})
	j.add(&receipt{Host: "10.0.0.10:80", Remote: "10.0.0.3:1"})
	for wanted, count := range map[string]int{
		"abc": 1, "a.test": 1, "b.test": 1, ".test": 2, "10.0.0.1": 1, "10.0.0.2": 1, "fd00::1": 1, "10.0.0.3": 1, "10.0.0.10": 0, "10.0.0.10:80": 1, "zzz": 0,
	} {
		if found, _, _ := j.after(0, []string{wanted}); len(found) != count {
			t.Errorf("%q matches %d, want %d", wanted, len(found), count)
		}
	}
	if found, _, _ := j.after(1, []string{"abc", "b.test"}); len(found) != 1 {
		t.Errorf("%d found after the first", len(found))
	}
}

func TestControl(t *testing.T) {
	w := startWorld(t)
	base := "http://" + w.servers.address.String()
	var identity struct {
		Server, Instance string
		Ports            []portFlag
	}
	getJSON(t, base+"/identity", &identity)
	if identity.Server != "alpha" || len(identity.Instance) != 32 || len(identity.Ports) != 4 || identity.Ports[1].Protocol != "tls" {
		t.Errorf("identity %+v", identity)
	}
	for path, status := range map[string]int{
		"/healthz": 200, "/receipts?after=x": 400, "/receipts?after=-1": 400, "/receipts?after=99": 200, "/nothing": 404,
	} {
		response, err := http.Get(base + path)
		must(t, err)
		must(t, response.Body.Close())
		if response.StatusCode != status {
			t.Errorf("%s answered %d, want %d", path, response.StatusCode, status)
		}
	}
	if events, _, _ := w.journal.after(0, nil); len(events) != 0 {
		t.Errorf("the control API was recorded: %s", events)
	}
}

func TestAPeerIsAskedTheSame(t *testing.T) {
	w, other := startWorld(t), startWorld(t)
	send(t, dial(t, w.address("http")), "GET /?attempt=n-1 HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, nonce := range []string{"n-2", "n-3", "else"} {
		send(t, dial(t, other.address("http")), "GET /?attempt="+nonce+" HTTP/1.1\r\nHost: a\r\n\r\n")
		other.receipt("request", nonce)
	}
	w.receipt("request", "n-1")
	third := other.receipt("request", "n-3")
	base := "http://" + w.servers.address.String() + "/receipts?match=n-"
	address := other.servers.address.String()
	var answer struct {
		Instance string
		Receipts []receipt
		Peers    []struct {
			Instance string
			Receipts []receipt
		}
	}
	getJSON(t, fmt.Sprintf("%s&peer=%s,0&peer=%s,%d", base, address, address, third.Seq-1), &answer)
	if len(answer.Receipts) != 1 || answer.Receipts[0].Nonce != "n-1" || answer.Instance != w.servers.instance {
		t.Errorf("of its own: %+v", answer.Receipts)
	}
	if len(answer.Peers) != 2 || len(answer.Peers[0].Receipts) != 2 || len(answer.Peers[1].Receipts) != 1 {
		t.Fatalf("of the peers: %+v", answer.Peers)
	}
	if answer.Peers[1].Receipts[0].Nonce != "n-3" || answer.Peers[0].Instance != other.servers.instance {
		t.Errorf("of the peers: %+v", answer.Peers)
	}
	other.servers.stop()
	for peer, status := range map[string]int{
		address + ",0": 424, "localhost:80,0": 400, "127.0.0.1:80": 400, "127.0.0.1:80,x": 400, "": 400,
	} {
		response, err := http.Get(base + "&peer=" + peer)
		must(t, err)
		must(t, response.Body.Close())
		if response.StatusCode != status {
			t.Errorf("peer %q: %d, want %d", peer, response.StatusCode, status)
		}
	}
}

func TestBadArgumentsAreNamed(t *testing.T) {
	certFile, keyFile, _ := newCA(t)
	taken := startWorld(t)
	for _, c := range []struct{ args, problem string }{
		{"", "a command is missing"},
		{"x", "unknown command"},
		{"serve --port 0=http", "--name is missing"},
		{"serve --name a", "--port is missing"},
		{"serve --name a --port 80", "want N=PROTOCOL"},
		{"serve --name a --port 99999=http", "want N=PROTOCOL"},
		{"serve --name a --port 0=tls", "needs --ca-cert"},
		{"serve --name a --port 0=http more", "unexpected argument"},
		{"serve --name a --port 0=tls --ca-cert /nowhere --ca-key /nowhere", "cannot load the CA"},
		{"serve --name a --port 0=tls --ca-cert " + keyFile + " --ca-key " + certFile, "cannot load the CA"},
		{"serve --name a --port 0=http --control " + taken.servers.address.String(), "cannot listen on 127.0.0.1"},
		{"dns", "--cluster-dns must be"},
		{"dns --cluster-dns kube-dns:53", "--cluster-dns must be"},
		{"dns --cluster-dns 127.0.0.1:53 --cluster-zone .", "--cluster-zone must be"},
	} {
		err := run(context.Background(), strings.Fields(c.args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%q: %v, want %q", c.args, err, c.problem)
		}
	}
}

func TestStopsWithinASecond(t *testing.T) {
	certFile, keyFile, _ := newCA(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := startServers(serveOptions{
		name: "a", control: "127.0.0.1:0", caCert: certFile, caKey: keyFile,
		ports: []portFlag{{0, "http"}, {0, "tls"}, {0, "tcp"}, {0, "server-first"}},
	}, io.Discard)
	must(t, err)
	w := &world{s, t, nil}
	for _, protocol := range portProtocols {
		dial(t, w.address(protocol)) // idle
	}
	send(t, dial(t, w.address("http")), "GET /delay/30s?attempt=slow HTTP/1.1\r\nHost: a\r\n\r\n")
	w.receipt("request", "slow")
	var stopping sync.WaitGroup
	stopping.Go(func() { <-ctx.Done(); s.stop() })
	started := time.Now()
	cancel()
	stopping.Wait()
	if took := time.Since(started); took > time.Second {
		t.Errorf("stopping took %s", took)
	}
}
