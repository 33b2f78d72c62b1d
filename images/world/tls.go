package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	noSNI           = "no-sni.invalid"
	maxCertificates = 1024
	maxCommonName   = 64 // RFC 5280, ub-common-name
)

var offeredALPN = []string{"h2", "http/1.1"}

// authority issues a certificate for whatever name a client asks for.
type authority struct {
	organization string
	issuer       *x509.Certificate
	issuerKey    crypto.PrivateKey
	key          *ecdsa.PrivateKey

	mu     sync.Mutex
	issued map[string]*tls.Certificate
}

func loadAuthority(certFile, keyFile, organization string) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot load the CA from --ca-cert %s and --ca-key %s: %w", certFile, keyFile, err)
	}
	if !pair.Leaf.IsCA {
		return nil, fmt.Errorf("the certificate in --ca-cert %s is not a CA's", certFile)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	return &authority{
		organization: organization, issuer: pair.Leaf, issuerKey: pair.PrivateKey, key: key,
		issued: map[string]*tls.Certificate{},
	}, nil
}

// certificate returns the certificate of a server name, made when first asked.
func (a *authority) certificate(sni string) (*tls.Certificate, error) {
	name := strings.ToLower(sni)
	if name == "" {
		name = noSNI
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.issued[name]; ok {
		return known, nil
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("cannot make a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			CommonName: name[:min(len(name), maxCommonName)], Organization: []string{a.organization},
		},
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    a.issuer.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.issuer, a.key.Public(), a.issuerKey)
	if err != nil {
		return nil, fmt.Errorf("cannot issue a certificate for %q: %w", name, err)
	}
	made := &tls.Certificate{Certificate: [][]byte{der, a.issuer.Raw}, PrivateKey: a.key}
	if len(a.issued) >= maxCertificates {
		clear(a.issued)
	}
	a.issued[name] = made
	return made, nil
}

// config returns the TLS settings of one connection. hello is called with
// what the client offers, whether or not the handshake then succeeds.
func (a *authority) config(hello func(sni string, alpn []string)) *tls.Config {
	base := &tls.Config{
		GetCertificate: func(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.certificate(info.ServerName)
		},
		MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequestClientCert,
		// A resumed session would show no certificate to the client.
		SessionTicketsDisabled: true,
	}
	return &tls.Config{
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			hello(info.ServerName, info.SupportedProtos)
			settings := base.Clone()
			// A client that offers only protocols of its own is served
			// without one, as most servers do, and not turned away.
			if slices.ContainsFunc(info.SupportedProtos, func(p string) bool { return slices.Contains(offeredALPN, p) }) {
				settings.NextProtos = offeredALPN
			}
			return settings, nil
		},
	}
}

// describe names a client certificate as Envoy's x-forwarded-client-cert does.
func describe(certificates []*x509.Certificate) string {
	if len(certificates) == 0 {
		return ""
	}
	parts := []string{fmt.Sprintf("Subject=%q", certificates[0].Subject.String())}
	for _, uri := range certificates[0].URIs {
		parts = append(parts, "URI="+uri.String())
	}
	return cut(strings.Join(parts, ";"))
}
