package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

type dnsWorld struct {
	*dnsServer
	t         *testing.T
	forwarded atomic.Int64 // queries the fake cluster's DNS has seen
}

func startDNSWorld(t *testing.T) *dnsWorld {
	t.Helper()
	w := &dnsWorld{t: t}
	cluster := dns.HandlerFunc(func(writer dns.ResponseWriter, request *dns.Msg) {
		w.forwarded.Add(1)
		response := new(dns.Msg).SetReply(request)
		response.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: request.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30},
			A:   net.IPv4(10, 96, 0, 1),
		}}
		_ = writer.WriteMsg(response)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	packets, err := net.ListenPacket("udp", listener.Addr().String())
	must(t, err)
	for _, server := range []*dns.Server{{Listener: listener, Handler: cluster}, {PacketConn: packets, Handler: cluster}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	w.dnsServer, err = startDNS(dnsOptions{
		listen: "127.0.0.1:0", control: "127.0.0.1:0", clusterZone: "cluster.local.", clusterDNS: listener.Addr().String(),
	}, io.Discard)
	must(t, err)
	t.Cleanup(w.stop)
	return w
}

func (w *dnsWorld) call(method, path string, body any) (int, string) {
	w.t.Helper()
	text, err := json.Marshal(body)
	must(w.t, err)
	request, err := http.NewRequest(method, "http://"+w.address.String()+path, bytes.NewReader(text))
	must(w.t, err)
	response, err := http.DefaultClient.Do(request)
	must(w.t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	must(w.t, err)
	return response.StatusCode, strings.TrimSpace(string(answer))
}

func (w *dnsWorld) put(name string, body map[string]any) {
	w.t.Helper()
	if status, answer := w.call("PUT", "/hosts/"+name, body); status != http.StatusOK {
		w.t.Fatalf("PUT %s answered %d %s", name, status, answer)
	}
}

// ask returns rcode and addresses, or "no answer".
func (w *dnsWorld) ask(transport, name string, kind uint16) string {
	w.t.Helper()
	client := &dns.Client{Net: transport, Timeout: 700 * time.Millisecond}
	response, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, kind), w.tcp.Listener.Addr().String())
	if err != nil {
		return "no answer"
	}
	text := dns.RcodeToString[response.Rcode]
	for _, record := range response.Answer {
		fields := strings.Fields(record.String())
		text += " " + fields[len(fields)-1]
	}
	return text
}

func (w *dnsWorld) expect(name string, kind uint16, want string) {
	w.t.Helper()
	for _, transport := range []string{"udp", "tcp"} {
		if got := w.ask(transport, name, kind); got != want {
			w.t.Errorf("%s %s over %s: %q, want %q", name, dns.TypeToString[kind], transport, got, want)
		}
	}
}

func TestAnswersChangeWithTheNextQuery(t *testing.T) {
	w := startDNSWorld(t)
	w.expect("a.test.", dns.TypeA, "NXDOMAIN")
	w.put("a.test", map[string]any{"addresses": []string{"10.0.0.2", "10.0.0.1", "fd00::1"}})
	w.expect("a.test.", dns.TypeA, "NOERROR 10.0.0.2 10.0.0.1")
	w.expect("A.tEsT.", dns.TypeAAAA, "NOERROR fd00::1")
	w.expect("a.test.", dns.TypeTXT, "NOERROR")
	w.put("a.test", map[string]any{"addresses": []string{"10.0.0.3"}})
	w.expect("a.test.", dns.TypeA, "NOERROR 10.0.0.3")
	w.expect("a.test.", dns.TypeAAAA, "NOERROR")
	w.put("a.test", map[string]any{"rcode": "SERVFAIL"})
	w.expect("a.test.", dns.TypeA, "SERVFAIL")
	w.put("a.test", map[string]any{"rcode": "NXDOMAIN", "addresses": []string{"10.0.0.3"}})
	w.expect("a.test.", dns.TypeA, "NXDOMAIN")
	if status, answer := w.call("DELETE", "/hosts/a.test", nil); status != 200 || answer != `{"removed":true}` {
		t.Errorf("DELETE answered %d %s", status, answer)
	}
	w.expect("a.test.", dns.TypeA, "NXDOMAIN")
}

func TestAnswerInDetail(t *testing.T) {
	w := startDNSWorld(t)
	w.put("a.test", map[string]any{"addresses": []string{"10.0.0.1"}, "ttl": 7})
	request := new(dns.Msg).SetQuestion("A.test.", dns.TypeA)
	request.SetEdns0(1232, false)
	response, err := dns.Exchange(request, w.tcp.Listener.Addr().String())
	must(t, err)
	if head := response.Answer[0].Header(); !response.Authoritative || head.Ttl != 7 || head.Name != "A.test." || response.IsEdns0() == nil {
		t.Errorf("answer %s", response)
	}
	response, err = dns.Exchange(new(dns.Msg).SetQuestion("none.test.", dns.TypeA), w.tcp.Listener.Addr().String())
	must(t, err)
	if soa, ok := response.Ns[0].(*dns.SOA); !ok || soa.Minttl != 1 || soa.Hdr.Ttl != 1 {
		t.Errorf("answer %s", response)
	}
}

func TestWildcards(t *testing.T) {
	w := startDNSWorld(t)
	for name, address := range map[string]string{
		"*.foo.test": "10.0.0.1", "x.foo.test": "10.0.0.2", "*.deep.foo.test": "10.0.0.3",
	} {
		w.put(name, map[string]any{"addresses": []string{address}})
	}
	for name, want := range map[string]string{
		"a.foo.test.": "NOERROR 10.0.0.1", "b.a.foo.test.": "NOERROR 10.0.0.1", "x.foo.test.": "NOERROR 10.0.0.2",
		"y.x.foo.test.": "NOERROR 10.0.0.1", "a.b.deep.foo.test.": "NOERROR 10.0.0.3", "deep.foo.test.": "NOERROR 10.0.0.1",
		"foo.test.": "NXDOMAIN", "afoo.test.": "NXDOMAIN",
	} {
		w.expect(name, dns.TypeA, want)
	}
}

func TestDelayAndDrop(t *testing.T) {
	w := startDNSWorld(t)
	w.put("slow.test", map[string]any{"addresses": []string{"10.0.0.1"}, "delay": "300ms"})
	started := time.Now()
	if got := w.ask("udp", "slow.test.", dns.TypeA); got != "NOERROR 10.0.0.1" || time.Since(started) < 300*time.Millisecond {
		t.Errorf("%q after %s", got, time.Since(started))
	}
	w.put("gone.test", map[string]any{"drop": true})
	w.expect("gone.test.", dns.TypeA, "no answer")
	queries := w.queries("gone.test")
	if len(queries) != 2 || !queries[0].Dropped || queries[0].Transport != "udp" || queries[1].Transport != "tcp" {
		t.Errorf("queries %+v", queries)
	}
}

func TestOnlyTheClusterZoneIsForwarded(t *testing.T) {
	w := startDNSWorld(t)
	w.put("*.", map[string]any{"addresses": []string{"10.9.9.9"}})
	for _, name := range []string{"example.com.", "xcluster.local.", "local.", ".", "cluster.local.example.com."} {
		w.ask("udp", name, dns.TypeA)
	}
	w.expect("1.0.0.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN")
	w.expect("1.0.ip6.arpa.", dns.TypePTR, "NXDOMAIN")
	if n := w.forwarded.Load(); n != 0 {
		t.Errorf("%d queries were forwarded", n)
	}
	w.expect("kubernetes.default.svc.Cluster.LOCAL.", dns.TypeA, "NOERROR 10.96.0.1")
	if n := w.forwarded.Load(); n != 2 {
		t.Errorf("%d queries were forwarded, want 2", n)
	}
	if queries := w.queries("kubernetes.default"); len(queries) != 2 || !queries[0].Forwarded || queries[0].Answers[0] != "10.96.0.1" {
		t.Errorf("queries %+v", queries)
	}
}

func (w *dnsWorld) queries(match string) []query {
	w.t.Helper()
	var answer struct{ Queries []query }
	getJSON(w.t, "http://"+w.address.String()+"/queries?match="+match, &answer)
	return answer.Queries
}

func TestQueriesAndHostsAreTold(t *testing.T) {
	w := startDNSWorld(t)
	w.put("A.test.", map[string]any{"addresses": []string{"10.0.0.1"}})
	w.ask("udp", "a.test.", dns.TypeA)
	w.ask("udp", "b.test.", dns.TypeAAAA)
	queries := w.queries("a.test")
	if len(queries) != 1 || queries[0].Name != "a.test" || queries[0].Type != "A" || queries[0].Rcode != "NOERROR" ||
		!reflect.DeepEqual(queries[0].Answers, []string{"10.0.0.1"}) || !strings.HasPrefix(queries[0].Remote, "127.0.0.1:") {
		t.Errorf("queries %+v", queries)
	}
	_, hosts := w.call("GET", "/hosts", nil)
	want := `"hosts":{"a.test":{"addresses":["10.0.0.1"],"ttl":1,"rcode":"NOERROR","delay":"0s","drop":false}}`
	if !strings.Contains(hosts, want) {
		t.Errorf("hosts %s", hosts)
	}
}

func TestBadHostsAreRefused(t *testing.T) {
	w := startDNSWorld(t)
	for name, body := range map[string]map[string]any{
		"a.test":            {"addresses": []string{"not an address"}},
		"b.test":            {"rcode": "REFUSED"},
		"c.test":            {"delay": "31s"},
		"d.test":            {"delay": "soon"},
		"e.test":            {"unknown": 1},
		"f.test":            {"ttl": -1},
		"x.cluster.local":   {},
		"1.10.in-addr.arpa": {},
		"a..test":           {},
	} {
		if status, answer := w.call("PUT", "/hosts/"+name, body); status != 400 || !strings.Contains(answer, `"error"`) {
			t.Errorf("%s %v: %d %s", name, body, status, answer)
		}
	}
	if len(w.table.all()) != 0 {
		t.Errorf("kept %v", w.table.all())
	}
}

func TestManyAddressesAreTruncatedOverUDP(t *testing.T) {
	w := startDNSWorld(t)
	addresses := []string{}
	for i := range 100 {
		addresses = append(addresses, fmt.Sprintf("10.0.1.%d", i))
	}
	w.put("many.test", map[string]any{"addresses": addresses})
	request := new(dns.Msg).SetQuestion("many.test.", dns.TypeA)
	response, err := dns.Exchange(request, w.tcp.Listener.Addr().String())
	must(t, err)
	response.Compress = true // as it was sent
	if !response.Truncated || response.Len() > dns.MinMsgSize {
		t.Errorf("%d bytes, truncated %v", response.Len(), response.Truncated)
	}
	if got := w.ask("tcp", "many.test.", dns.TypeA); strings.Count(got, "10.0.1.") != 100 {
		t.Errorf("over TCP: %s", got)
	}
}

func TestMalformedQueriesAreSurvived(t *testing.T) {
	w := startDNSWorld(t)
	address := w.tcp.Listener.Addr().String()
	for _, text := range []string{"", "x", strings.Repeat("\xff", 600), "\x00\x01\x01\x00\x00\x09\x00\x00\x00\x00\x00\x00\xc0\x0c"} {
		conn, err := net.Dial("udp", address)
		must(t, err)
		_, err = io.WriteString(conn, text)
		must(t, err)
		must(t, conn.Close())
		tcp := dial(t, address)
		_, _ = io.WriteString(tcp, text)
		_ = tcp.Close()
	}
	w.put("a.test", map[string]any{"addresses": []string{"10.0.0.1"}})
	w.expect("a.test.", dns.TypeA, "NOERROR 10.0.0.1")
}
