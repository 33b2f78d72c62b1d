package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

const handshakeWait = 10 * time.Second

var portProtocols = []string{"http", "tls", "tcp", "server-first"}

// portFlag is one --port N=PROTOCOL.
type portFlag struct {
	Number   int    `json:"port"`
	Protocol string `json:"protocol"`
}

type serveOptions struct {
	name, control, caCert, caKey string
	ports                        []portFlag
}

func parseServe(args []string) (serveOptions, error) {
	var o serveOptions
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main says what is wrong
	flags.StringVar(&o.name, "name", "", "name of this server in answers and receipts")
	flags.StringVar(&o.control, "control", ":8800", "address of the control API")
	flags.StringVar(&o.caCert, "ca-cert", "", "PEM file of the CA that signs the TLS ports' certificates")
	flags.StringVar(&o.caKey, "ca-key", "", "PEM file of that CA's key")
	flags.Func("port", "N=PROTOCOL, repeatable; "+strings.Join(portProtocols, ", "), func(text string) error {
		number, protocol, _ := strings.Cut(text, "=")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || !slices.Contains(portProtocols, protocol) {
			return fmt.Errorf("want N=PROTOCOL with PROTOCOL one of %s", strings.Join(portProtocols, ", "))
		}
		o.ports = append(o.ports, portFlag{int(n), protocol})
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	needsCA := slices.ContainsFunc(o.ports, func(p portFlag) bool { return p.Protocol == "tls" })
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.name == "":
		return o, errors.New("--name is missing")
	case len(o.ports) == 0:
		return o, errors.New("--port is missing")
	case needsCA && (o.caCert == "" || o.caKey == ""):
		return o, errors.New("a tls port needs --ca-cert and --ca-key")
	}
	return o, nil
}

func runServe(ctx context.Context, args []string, out io.Writer) error {
	options, err := parseServe(args)
	if err != nil {
		return err
	}
	s, err := startServers(options, out)
	if err != nil {
		return err
	}
	slog.Info("serving", "server", options.name, "instance", s.instance, "ports", options.ports, "control", options.control)
	<-ctx.Done()
	s.stop()
	return nil
}

// servers are all the ports of one process and its control API.
type servers struct {
	instance string
	journal  *journal
	ports    []*port
	control  *http.Server
	address  net.Addr // of the control API
}

// port is one port of the world.
type port struct {
	server, instance string
	number           int
	protocol         string
	journal          *journal
	authority        *authority
	listener         net.Listener
	queue            *queue
	http             *http.Server
}

func startServers(o serveOptions, out io.Writer) (*servers, error) {
	s := &servers{instance: newInstance(), journal: newJournal(out)}
	var ca *authority
	if o.caCert != "" {
		var err error
		if ca, err = loadAuthority(o.caCert, o.caKey, o.name); err != nil {
			return nil, err
		}
	}
	control, err := listen(o.control, "control")
	if err != nil {
		return nil, err
	}
	s.address = control.Addr()
	ports := []portFlag{}
	for _, wanted := range o.ports {
		listener, err := listen(fmt.Sprintf(":%d", wanted.Number), wanted.Protocol)
		if err != nil {
			return nil, err
		}
		p := &port{
			server: o.name, instance: s.instance, protocol: wanted.Protocol, journal: s.journal,
			number: listener.Addr().(*net.TCPAddr).Port, authority: ca, listener: listener, queue: newQueue(listener),
		}
		s.ports = append(s.ports, p)
		ports = append(ports, portFlag{p.number, p.protocol})
	}
	for _, p := range s.ports {
		p.start()
	}
	identity := map[string]any{"server": o.name, "instance": s.instance, "ports": ports}
	s.control = newControlServer(newControl(s.instance, "receipts", identity, s.journal))
	go serveUntilClosed(s.control, netutil.LimitListener(control, maxControl))
	return s, nil
}

func (s *servers) stop() {
	var all sync.WaitGroup
	for _, p := range s.ports {
		all.Go(func() {
			_ = p.queue.Close()
			if p.http != nil {
				closing(p.http)
			}
		})
	}
	all.Go(func() { closing(s.control) })
	all.Wait()
}

func serveUntilClosed(server *http.Server, listener net.Listener) {
	if err := server.Serve(listener); !isClosed(err) {
		slog.Error("server ended", "address", listener.Addr().String(), "error", err)
	}
}

func (p *port) start() {
	if p.protocol == "http" || p.protocol == "tls" {
		p.http = p.newHTTPServer()
		go serveUntilClosed(p.http, p.queue)
	}
	go p.accept()
}

// accept takes connections, at most maxConnections at a time, and records
// each before anything is said on it.
func (p *port) accept() {
	free := make(chan struct{}, maxConnections)
	for {
		free <- struct{}{}
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, or the client has gone
			slog.Warn("connection not accepted", "port", p.number, "error", err)
			<-free
			time.Sleep(10 * time.Millisecond)
			continue
		}
		remote := conn.RemoteAddr().String()
		c := &client{Conn: conn}
		c.onClose = func(received int64) {
			p.record(&receipt{Event: "close", Remote: remote, SNI: c.sni, Bytes: received, Error: c.problem})
			<-free
		}
		p.record(&receipt{Event: "connect", Remote: remote})
		go p.serve(c)
	}
}

func (p *port) serve(c *client) {
	switch p.protocol {
	case "http":
		p.push(&recorder{Conn: c})
	case "tls":
		p.handshake(c)
	default:
		if err := p.serveTCP(c, p.protocol == "server-first"); err != nil {
			slog.Debug("TCP client", "error", err)
		}
	}
}

// handshake speaks TLS itself, and not through net/http, so that the bytes
// of an HTTP/1 request can be recorded after decryption.
func (p *port) handshake(c *client) {
	remote := c.RemoteAddr().String()
	conn := tls.Server(c, p.authority.config(func(sni string, alpn []string) {
		c.sni = cut(sni)
		p.record(&receipt{Event: "hello", Remote: remote, SNI: c.sni, ALPN: cut(strings.Join(alpn, ","))})
	}))
	err := c.SetDeadline(time.Now().Add(handshakeWait))
	if err == nil {
		err = conn.Handshake()
	}
	if err != nil {
		c.problem = cut("TLS handshake: " + err.Error())
		_ = conn.Close()
		return
	}
	state := conn.ConnectionState()
	p.push(&recorder{
		Conn: conn, sni: c.sni, alpn: state.NegotiatedProtocol,
		tlsVersion: tls.VersionName(state.Version), certificate: describe(state.PeerCertificates),
	})
}

// push hands a connection to net/http, whose own time-outs begin only when it
// has looked whether the client speaks HTTP/2.
func (p *port) push(r *recorder) {
	err := r.SetDeadline(time.Time{})
	if err == nil {
		err = r.SetReadDeadline(time.Now().Add(headerWait))
	}
	if err != nil {
		_ = r.Close()
		return
	}
	p.queue.push(r)
}

func (p *port) record(r *receipt) {
	r.Server, r.Instance, r.Port = p.server, p.instance, p.number
	p.journal.add(r)
}
