package main

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/websocket"
)

const maxMessage = 64 << 10

func isWebSocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// answerWebSocket accepts the upgrade, sends one message back as it came, and
// closes. /delay/{duration} holds the 101 back; /pause/{duration} the message.
func answerWebSocket(w http.ResponseWriter, r *http.Request) {
	verb, value, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	wait, _ := time.ParseDuration(value)
	wait = min(max(wait, 0), maxDelay)
	if verb == "delay" {
		time.Sleep(wait)
	}
	told := w.Header().Clone()
	server := websocket.Server{
		// What is left out here is the check of the origin: there is none for a server of a test.
		Handshake: func(config *websocket.Config, _ *http.Request) error {
			config.Header = told
			return nil
		},
		Handler: func(conn *websocket.Conn) {
			conn.MaxPayloadBytes = maxMessage
			var message string
			err := conn.SetDeadline(time.Now().Add(lineWait + wait))
			if err == nil {
				err = websocket.Message.Receive(conn, &message)
			}
			if verb == "pause" {
				time.Sleep(wait)
			}
			if err == nil {
				err = websocket.Message.Send(conn, message)
			}
			if err != nil {
				slog.Debug("WebSocket client", "error", err)
			}
		},
	}
	server.ServeHTTP(w, r)
}
