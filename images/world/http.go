package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxDelay   = 30 * time.Second
	maxBytes   = 64 << 20
	maxBody    = 1 << 30
	headerWait = 30 * time.Second
)

type connKey struct{}

// seen is what the answer tells about its request.
type seen struct {
	Server            string   `json:"server"`
	Instance          string   `json:"instance"`
	Port              int      `json:"port"`
	Protocol          string   `json:"protocol"`
	Method            string   `json:"method"`
	Host              string   `json:"host"`
	Path              string   `json:"path"`
	Headers           []header `json:"headers"`
	HeadersDecoded    bool     `json:"headers_decoded,omitempty"`
	BodyBytes         int64    `json:"body_bytes"`
	BodySHA256        string   `json:"body_sha256"`
	SNI               string   `json:"sni"`
	ALPN              string   `json:"alpn"`
	TLSVersion        string   `json:"tls_version"`
	ClientCertificate string   `json:"client_certificate"`
	Remote            string   `json:"remote"`
	Nonce             string   `json:"nonce"`
	Error             string   `json:"error,omitempty"`
}

func (p *port) newHTTPServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           http.HandlerFunc(p.serveHTTP),
		Protocols:         protocols,
		ReadHeaderTimeout: headerWait,
		ReadTimeout:       2 * maxDelay,
		IdleTimeout:       10 * time.Minute,
		MaxHeaderBytes:    96 << 10,
		// OPTIONS * is a request like any other and has its receipt.
		DisableGeneralOptionsHandler: true,

		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
}

// serveHTTP takes in the whole request, records it, and only then answers.
// There is no ServeMux: it would redirect a path that is not clean.
func (p *port) serveHTTP(w http.ResponseWriter, r *http.Request) {
	conn := r.Context().Value(connKey{}).(*recorder)
	headers, raw := conn.request(r.Method, r.RequestURI)
	if !raw {
		headers = decodedHeaders(r.Header)
	}
	sum := sha256.New()
	size, bodyError := io.Copy(sum, http.MaxBytesReader(w, r.Body, maxBody))
	conn.reset()

	s := seen{
		Server: p.server, Instance: p.instance, Port: p.number, Protocol: protocol(r),
		Method: r.Method, Host: r.Host, Path: r.RequestURI, Headers: headers, HeadersDecoded: !raw,
		BodyBytes: size, BodySHA256: hex.EncodeToString(sum.Sum(nil)),
		SNI: conn.sni, ALPN: conn.alpn, TLSVersion: conn.tlsVersion, ClientCertificate: conn.certificate,
		Remote: r.RemoteAddr, Nonce: nonce(r),
	}
	if bodyError != nil {
		s.Error = "body: " + bodyError.Error()
	}
	p.record(&receipt{
		Event: "request", Remote: s.Remote, Nonce: s.Nonce, Protocol: s.Protocol, Method: s.Method,
		Host: s.Host, Path: s.Path, Headers: s.Headers, HeadersDecoded: s.HeadersDecoded, SNI: s.SNI,
		ALPN: s.ALPN, ClientCertificate: s.ClientCertificate, Bytes: size, Error: s.Error,
	})
	p.answer(w, r, s)
}

func (p *port) answer(w http.ResponseWriter, r *http.Request, s seen) {
	w.Header().Set("Server", "world")
	w.Header().Set("X-World-Server", p.server)
	w.Header().Set("X-World-Instance", p.instance)
	// For answers whose body is no JSON, in which this is told too.
	w.Header().Set("X-World-Nonce", s.Nonce)
	if isWebSocket(r) {
		answerWebSocket(w, r)
		return
	}
	if r.ProtoMajor == 2 && r.Method == http.MethodPost && isGRPC(r.Header.Get("Content-Type")) {
		answerGRPC(w)
		return
	}
	verb, value, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch verb {
	case "status":
		code, err := strconv.Atoi(value)
		if err != nil || code < 200 || code > 599 {
			s.Error = fmt.Sprintf("/status/ takes 200 to 599, not %q", value)
			code = http.StatusBadRequest
		}
		answerJSON(w, code, s)
	case "delay":
		delay, err := time.ParseDuration(value)
		if err != nil || delay < 0 || delay > maxDelay {
			s.Error = fmt.Sprintf("/delay/ takes a duration up to %s, not %q", maxDelay, value)
			answerJSON(w, http.StatusBadRequest, s)
			return
		}
		select {
		case <-time.After(delay):
			answerJSON(w, http.StatusOK, s)
		case <-r.Context().Done():
		}
	case "bytes":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 || n > maxBytes {
			s.Error = fmt.Sprintf("/bytes/ takes 0 to %d, not %q", maxBytes, value)
			answerJSON(w, http.StatusBadRequest, s)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", value)
		_, _ = io.CopyN(w, zeros{}, n) // the client may leave when it likes
	default:
		answerJSON(w, http.StatusOK, s)
	}
}

func answerJSON(w http.ResponseWriter, code int, s seen) {
	if code == http.StatusNoContent || code == http.StatusNotModified {
		w.WriteHeader(code)
		return
	}
	writeJSON(w, code, s)
}

// answerGRPC sends a grpc.health.v1.HealthCheckResponse with status SERVING:
// field 1, varint 1, behind the five bytes that frame a gRPC message.
func answerGRPC(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/grpc")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte{0, 0, 0, 0, 2, 0x08, 0x01})
	// Flushed first, so that there is no content-length, as gRPC servers do it.
	if err := http.NewResponseController(w).Flush(); err != nil {
		slog.Debug("gRPC answer not sent", "error", err)
	}
	w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
}

func isGRPC(contentType string) bool {
	return contentType == "application/grpc" || strings.HasPrefix(contentType, "application/grpc+") ||
		strings.HasPrefix(contentType, "application/grpc;")
}

// nonce finds the mark by which a test knows its request again.
func nonce(r *http.Request) string {
	if attempt := r.URL.Query().Get("attempt"); attempt != "" {
		return cut(attempt)
	}
	return cut(r.Header.Get("X-Egress-Attempt"))
}

// protocol names the version as Envoy's %PROTOCOL% does.
func protocol(r *http.Request) string {
	if r.ProtoMajor == 2 {
		return "HTTP/2"
	}
	return r.Proto
}

func decodedHeaders(decoded http.Header) []header {
	headers := []header{}
	for name, values := range decoded {
		for _, value := range values {
			headers = append(headers, header{strings.ToLower(name), value})
		}
	}
	slices.SortStableFunc(headers, func(a, b header) int { return strings.Compare(a[0], b[0]) })
	return headers
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func isClosed(err error) bool {
	return errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed)
}
