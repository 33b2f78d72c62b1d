// Command world plays everything outside the mesh: servers that write down
// what reached them, and a DNS server whose answers a test changes as it runs.
//
// It is code of our own because the usual stand-ins cannot give the evidence:
// Istio's echo server logs neither a TCP payload nor the server name of a TLS
// handshake and has one certificate a port, and CoreDNS cannot change, delay
// or drop an answer within a second.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage:
  world serve --name NAME --control ADDR --port N=PROTOCOL... [--ca-cert FILE --ca-key FILE]
  world dns --listen ADDR --control ADDR --cluster-zone ZONE --cluster-dns ADDR

PROTOCOL is one of http, tls, tcp, server-first. --port may be repeated.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	err := run(ctx, os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Println(usage)
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "world: %v\n", err)
		os.Exit(1)
	}
}

// run starts what the arguments ask for and returns once ctx is done.
func run(ctx context.Context, args []string, journal io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("a command is missing\n%s", usage)
	}
	switch args[0] {
	case "serve":
		return runServe(ctx, args[1:], journal)
	case "dns":
		return runDNS(ctx, args[1:], journal)
	default:
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
}
