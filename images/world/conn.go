package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	maxConnections = 4096
	maxHead        = 128 << 10
)

// client is a TCP connection that counts what it received and tells once when
// it is closed.
type client struct {
	net.Conn
	received atomic.Int64
	once     sync.Once
	onClose  func(received int64)

	sni, problem string // for the receipt of the close
}

func (c *client) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(int64(n))
	return n, err
}

func (c *client) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.onClose(c.received.Load()) })
	return err
}

// CloseWrite ends our half of the connection. net/http looks for it too.
func (c *client) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// recorder keeps the bytes of the HTTP/1 request that is being read, because
// net/http forgets the order and the case of headers.
type recorder struct {
	net.Conn
	sni, alpn, tlsVersion, certificate string

	mu       sync.Mutex
	head     []byte
	complete bool // the empty line after the headers has come
}

func (r *recorder) CloseWrite() error { return closeWrite(r.Conn) }

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.complete {
		r.head = append(r.head, b[:min(n, maxHead-len(r.head))]...)
		r.complete = bytes.Contains(r.head, []byte("\n\r\n")) || bytes.Contains(r.head, []byte("\n\n"))
	}
	return n, err
}

// request gives the headers as they came, or false when the bytes kept do
// not begin with this request (HTTP/2, pipelining).
func (r *recorder) request(method, target string) ([]header, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !bytes.HasPrefix(r.head, []byte(method+" "+target+" ")) {
		return nil, false
	}
	return parseHeaders(r.head)
}

// reset forgets a request: the next one begins with the next byte read.
func (r *recorder) reset() {
	r.mu.Lock()
	r.head, r.complete = nil, false
	r.mu.Unlock()
}

func parseHeaders(head []byte) ([]header, bool) {
	headers := []header{}
	_, rest, _ := bytes.Cut(head, []byte("\n"))
	for {
		line, after, complete := bytes.Cut(rest, []byte("\n"))
		if !complete {
			return nil, false
		}
		rest = after
		text := strings.TrimSuffix(string(line), "\r")
		if text == "" {
			return headers, true
		}
		if folded := strings.TrimLeft(text, " \t"); folded != text && len(headers) > 0 {
			headers[len(headers)-1][1] += " " + folded
			continue
		}
		name, value, _ := strings.Cut(text, ":")
		headers = append(headers, header{name, strings.Trim(value, " \t")})
	}
}

// queue is a net.Listener fed with connections that are ready to serve.
type queue struct {
	net.Listener
	ready chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue(listener net.Listener) *queue {
	return &queue{Listener: listener, ready: make(chan net.Conn), done: make(chan struct{})}
}

func (q *queue) push(conn net.Conn) {
	select {
	case q.ready <- conn:
	case <-q.done:
		_ = conn.Close()
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.ready:
		return conn, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	if err := q.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// drain reads what a client still sends, so that closing does not reset the
// connection under an answer on its way.
func drain(conn io.Reader) {
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
}
