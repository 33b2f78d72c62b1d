package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// world is a running set of servers, one port a protocol.
type world struct {
	*servers
	t     *testing.T
	roots *x509.CertPool
}

func startWorld(t *testing.T) *world {
	t.Helper()
	certFile, keyFile, roots := newCA(t)
	s, err := startServers(serveOptions{
		name: "alpha", control: "127.0.0.1:0", caCert: certFile, caKey: keyFile,
		ports: []portFlag{{0, "http"}, {0, "tls"}, {0, "tcp"}, {0, "server-first"}},
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return &world{s, t, roots}
}

func (w *world) address(protocol string) string {
	for _, p := range w.ports {
		if p.protocol == protocol {
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number))
		}
	}
	w.t.Fatalf("no port speaks %s", protocol)
	return ""
}

// receipts asks the control API, as a test run does.
func (w *world) receipts(event string, match ...string) []receipt {
	w.t.Helper()
	var answer struct {
		Instance string
		Receipts []receipt
	}
	getJSON(w.t, "http://"+w.servers.address.String()+"/receipts?"+url.Values{"match": match}.Encode(), &answer)
	if answer.Instance != w.instance {
		w.t.Errorf("instance %q, want %q", answer.Instance, w.instance)
	}
	found := []receipt{}
	for _, r := range answer.Receipts {
		if r.Event == event {
			found = append(found, r)
		}
	}
	return found
}

// receipt waits for the one receipt of an event: a close comes after the answer.
func (w *world) receipt(event string, match ...string) receipt {
	w.t.Helper()
	var found []receipt
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if found = w.receipts(event, match...); len(found) > 0 {
			break
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("%d receipts of %s for %q, want 1: %+v", len(found), event, match, found)
	}
	return found[0]
}

func newCA(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	certFile, keyFile = filepath.Join(t.TempDir(), "ca.crt"), filepath.Join(t.TempDir(), "ca.key")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	must(t, os.WriteFile(certFile, certPEM, 0o600))
	must(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, roots
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func getJSON(t *testing.T, address string, into any) {
	t.Helper()
	response, err := http.Get(address)
	must(t, err)
	readJSON(t, response, into)
}

func readJSON(t *testing.T, response *http.Response, into any) {
	t.Helper()
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("content type %q, want application/json", kind)
	}
	must(t, json.NewDecoder(response.Body).Decode(into))
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn io.Writer, text string) {
	t.Helper()
	_, err := io.Copy(conn, bytes.NewBufferString(text))
	must(t, err)
}
