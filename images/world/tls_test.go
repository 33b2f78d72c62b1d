package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func connectTLS(t *testing.T, w *world, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	conn := tls.Client(dial(t, w.address("tls")), config)
	return conn, conn.Handshake()
}

func TestCertificatePerServerName(t *testing.T) {
	w := startWorld(t)
	serials := map[string]bool{}
	for _, name := range []string{"a.test", "b.test", "A.test", strings.Repeat("long.", 20) + "test"} {
		conn, err := connectTLS(t, w, &tls.Config{ServerName: name, RootCAs: w.roots}) // verifies name and CA
		must(t, err)
		leaf := conn.ConnectionState().PeerCertificates[0]
		if leaf.Subject.Organization[0] != "alpha" {
			t.Errorf("%s: organization %v", name, leaf.Subject.Organization)
		}
		serials[leaf.SerialNumber.String()] = true
	}
	if len(serials) != 3 { // names are compared without case, and certificates kept
		t.Errorf("%d certificates for 3 names", len(serials))
	}
}

func TestCertificateWithoutServerName(t *testing.T) {
	w := startWorld(t)
	conn, err := connectTLS(t, w, &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	leaf := conn.ConnectionState().PeerCertificates[0]
	if leaf.Subject.CommonName != noSNI || leaf.DNSNames[0] != noSNI {
		t.Errorf("certificate for %v", leaf.DNSNames)
	}
}

func TestRequestsBehindTLS(t *testing.T) {
	w := startWorld(t)
	for _, alpn := range []string{"h2", "http/1.1"} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(alpn == "http/1.1")
		protocols.SetHTTP2(alpn == "h2")
		transport := &http.Transport{
			Protocols: protocols, TLSClientConfig: &tls.Config{ServerName: "site.test", RootCAs: w.roots, NextProtos: []string{alpn}},
		}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport}).Get("https://" + w.address("tls") + "/?attempt=" + url.QueryEscape(alpn))
		must(t, err)
		var answer seen
		readJSON(t, response, &answer)
		if answer.SNI != "site.test" || answer.ALPN != alpn || answer.TLSVersion != "TLS 1.3" || answer.HeadersDecoded != (alpn == "h2") {
			t.Errorf("answer %+v", answer)
		}
		if r := w.receipt("request", alpn); r.SNI != "site.test" || r.ALPN != alpn {
			t.Errorf("receipt %+v", r)
		}
	}
}

func TestHelloIsRecordedWhenTheHandshakeFails(t *testing.T) {
	w := startWorld(t)
	if _, err := connectTLS(t, w, &tls.Config{ServerName: "distrusted.test", NextProtos: []string{"h2", "istio"}}); err == nil {
		t.Fatal("a CA nobody knows was trusted")
	}
	if r := w.receipt("hello", "distrusted.test"); r.ALPN != "h2,istio" || r.SNI != "distrusted.test" {
		t.Errorf("receipt %+v", r)
	}
	conn, err := connectTLS(t, w, &tls.Config{ServerName: "old.test", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err == nil {
		t.Fatal("TLS 1.1 was accepted")
	}
	must(t, conn.Close())
	w.receipt("hello", "old.test")
	if r := w.receipt("close", "old.test"); !strings.HasPrefix(r.Error, "TLS handshake: ") || r.Bytes == 0 {
		t.Errorf("receipt %+v", r)
	}
}

func TestForeignALPNIsServedWithoutOne(t *testing.T) {
	w := startWorld(t)
	conn, err := connectTLS(t, w, &tls.Config{ServerName: "a.test", RootCAs: w.roots, NextProtos: []string{"istio-peer-exchange"}})
	must(t, err)
	if got := conn.ConnectionState().NegotiatedProtocol; got != "" {
		t.Errorf("negotiated %q", got)
	}
}

func TestClientCertificateIsTold(t *testing.T) {
	w := startWorld(t)
	certFile, keyFile, _ := newCA(t) // of another CA: told, not verified
	ca, err := loadAuthority(certFile, keyFile, "client org")
	must(t, err)
	pair, err := ca.certificate("client.test")
	must(t, err)
	conn, err := connectTLS(t, w, &tls.Config{ServerName: "a.test", RootCAs: w.roots, Certificates: []tls.Certificate{*pair}})
	must(t, err)
	send(t, conn, "GET /?attempt=mtls HTTP/1.1\r\nhost: a.test\r\n\r\n")
	want := `Subject="CN=client.test,O=client org"`
	if answer := readAnswer(t, bufio.NewReader(conn)); answer.ClientCertificate != want {
		t.Errorf("client certificate %q, want %q", answer.ClientCertificate, want)
	}
	if r := w.receipt("request", "mtls"); r.ClientCertificate != want {
		t.Errorf("receipt %+v", r)
	}
}

func TestDescribeNamesSPIFFE(t *testing.T) {
	id, err := url.Parse("spiffe://cluster.local/ns/a/sa/b")
	must(t, err)
	if got := describe([]*x509.Certificate{{URIs: []*url.URL{id}}}); got != `Subject="";URI=spiffe://cluster.local/ns/a/sa/b` {
		t.Errorf("got %s", got)
	}
}

func TestCertificatesKeptAreBounded(t *testing.T) {
	certFile, keyFile, _ := newCA(t)
	ca, err := loadAuthority(certFile, keyFile, "alpha")
	must(t, err)
	for i := range maxCertificates + 10 {
		_, err := ca.certificate(fmt.Sprintf("host-%d.test", i))
		must(t, err)
	}
	if len(ca.issued) > maxCertificates {
		t.Errorf("%d certificates kept", len(ca.issued))
	}
}

func TestUntalkativeHandshakeIsNotWaitedForByOthers(t *testing.T) {
	w := startWorld(t)
	dial(t, w.address("tls")) // says nothing
	conn, err := connectTLS(t, w, &tls.Config{ServerName: "a.test", RootCAs: w.roots})
	must(t, err)
	send(t, conn, "GET / HTTP/1.0\r\n\r\n")
	_, err = io.ReadAll(conn)
	must(t, err)
}
