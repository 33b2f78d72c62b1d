package main

import (
	"log/slog"
	"net"
	"time"

	"github.com/miekg/dns"
)

func (s *dnsServer) isCluster(name string) bool { return dns.IsSubDomain(s.options.clusterZone, name) }

func isReverse(name string) bool {
	return dns.IsSubDomain("in-addr.arpa.", name) || dns.IsSubDomain("ip6.arpa.", name)
}

// ServeDNS answers one message. One that finds too many others waiting goes
// unanswered, as a lost packet would.
func (s *dnsServer) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	default:
		slog.Warn("query dropped: too many at a time")
		return
	}
	if len(request.Question) != 1 || request.Question[0].Qclass != dns.ClassINET {
		s.send(w, new(dns.Msg).SetRcode(request, dns.RcodeRefused))
		return
	}
	question := request.Question[0]
	name := dns.CanonicalName(question.Name)
	q := &query{
		Remote: w.RemoteAddr().String(), Transport: w.RemoteAddr().Network(),
		Name: name[:max(len(name)-1, 1)], Type: dns.Type(question.Qtype).String(), Answers: []string{},
	}

	if s.isCluster(name) {
		response := s.forward(request, q.Transport)
		q.Forwarded = true
		q.describe(response)
		s.journal.add(q)
		s.send(w, response)
		return
	}
	answer, known := s.table.find(name)
	if !known || isReverse(name) {
		answer = hostAnswer{Rcode: "NXDOMAIN"}
	}
	if answer.Drop {
		q.Dropped = true
		s.journal.add(q)
		return
	}
	response := reply(request, question, answer)
	if q.Transport == "udp" {
		truncate(response, request)
	}
	if answer.Delay > 0 {
		q.Delay = time.Duration(answer.Delay).String()
	}
	q.describe(response)
	s.journal.add(q) // before the delay, which is the client's to feel
	select {
	case <-time.After(time.Duration(answer.Delay)):
		s.send(w, response)
	case <-s.done:
	}
}

func (q *query) describe(response *dns.Msg) {
	q.Rcode = dns.RcodeToString[response.Rcode]
	for _, record := range response.Answer {
		switch r := record.(type) {
		case *dns.A:
			q.Answers = append(q.Answers, r.A.String())
		case *dns.AAAA:
			q.Answers = append(q.Answers, r.AAAA.String())
		default:
			q.Answers = append(q.Answers, record.String())
		}
	}
}

// truncate cuts an answer to what the client can take in one packet.
func truncate(response, request *dns.Msg) {
	size := uint16(dns.MinMsgSize)
	if edns := request.IsEdns0(); edns != nil {
		size = max(size, edns.UDPSize())
	}
	response.Truncate(int(size))
}

func (s *dnsServer) send(w dns.ResponseWriter, response *dns.Msg) {
	if err := w.WriteMsg(response); err != nil {
		slog.Debug("DNS answer not sent", "error", err)
	}
}

// forward asks the cluster's DNS, over the transport the client used.
func (s *dnsServer) forward(request *dns.Msg, transport string) *dns.Msg {
	client := &dns.Client{Net: transport, Timeout: forwardWait}
	response, _, err := client.Exchange(request, s.options.clusterDNS)
	if err != nil {
		slog.Warn("the cluster's DNS did not answer", "name", request.Question[0].Name, "error", err)
		return new(dns.Msg).SetRcode(request, dns.RcodeServerFailure)
	}
	return response
}

// reply makes the authoritative answer, addresses in the order given.
func reply(request *dns.Msg, question dns.Question, answer hostAnswer) *dns.Msg {
	response := new(dns.Msg).SetRcode(request, rcodes[answer.Rcode])
	response.Authoritative = true
	if edns := request.IsEdns0(); edns != nil {
		response.SetEdns0(dns.DefaultMsgSize, false)
	}
	if answer.Rcode == "NOERROR" {
		for _, address := range answer.Addresses {
			head := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: answer.TTL}
			switch {
			case address.Is4() && question.Qtype == dns.TypeA:
				head.Rrtype = dns.TypeA
				response.Answer = append(response.Answer, &dns.A{Hdr: head, A: net.IP(address.AsSlice())})
			case address.Is6() && question.Qtype == dns.TypeAAAA:
				head.Rrtype = dns.TypeAAAA
				response.Answer = append(response.Answer, &dns.AAAA{Hdr: head, AAAA: net.IP(address.AsSlice())})
			}
		}
	}
	if len(response.Answer) == 0 && answer.Rcode != "SERVFAIL" {
		response.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: negativeTTL},
			Ns:  "world.", Mbox: "nobody.world.", Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: negativeTTL,
		}}
	}
	return response
}
