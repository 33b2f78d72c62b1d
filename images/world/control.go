package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

// maxControl bounds the connections to a control API, and to the DNS over TCP.
const maxControl = 256

// newInstance makes something only this process knows, so that an answer
// that carries it came from here.
func newInstance() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails: see crypto/rand
	return hex.EncodeToString(id)
}

// newControl returns the routes every control API has. kind names the list of
// journal entries: "receipts" or "queries".
func newControl(instance, kind string, identity map[string]any, j *journal) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /identity", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, identity)
	})
	mux.HandleFunc("GET /"+kind, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		var after uint64
		if text := query.Get("after"); text != "" {
			var err error
			if after, err = strconv.ParseUint(text, 10, 63); err != nil {
				writeError(w, http.StatusBadRequest, "after must be a sequence number, not %q", text)
				return
			}
		}
		events, newest, oldest := j.after(after, query["match"])
		answer := map[string]any{"instance": instance, "seq": newest, "oldest": oldest, kind: events}
		others := []json.RawMessage{}
		for _, text := range query["peer"] {
			p, err := parsePeer(text)
			if err != nil {
				writeError(w, http.StatusBadRequest, "%s", err)
				return
			}
			other, err := p.ask(r.Context(), kind, query["match"])
			if err != nil {
				writeError(w, http.StatusFailedDependency, "%s", err)
				return
			}
			others = append(others, other)
		}
		if len(others) > 0 {
			answer["peers"] = others
		}
		writeJSON(w, http.StatusOK, answer)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		slog.Warn("answer not written", "error", err)
	}
}

func writeError(w http.ResponseWriter, status int, format string, args ...any) {
	writeJSON(w, status, map[string]string{"error": fmt.Sprintf(format, args...)})
}

func newControlServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
}

// listen binds an address and says what to do when that is not allowed.
func listen(address, purpose string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, bindError(address, purpose, err)
	}
	return listener, nil
}

func bindError(address, purpose string, err error) error {
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("cannot listen on %s (%s): %w; a port below 1024 needs the sysctl "+
			"net.ipv4.ip_unprivileged_port_start=0 or CAP_NET_BIND_SERVICE", address, purpose, err)
	}
	return fmt.Errorf("cannot listen on %s (%s): %w", address, purpose, err)
}

// closing ends an HTTP server within half a second, answers in flight included.
func closing(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		_ = server.Close() // the process ends anyway
	}
}
