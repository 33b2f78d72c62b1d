package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
)

const (
	maxLine    = 64 << 10
	lineWait   = 10 * time.Second
	closeWait  = 2 * time.Second
	writeLimit = 10 * time.Second
)

// serveTCP reads one line, records it, answers with one line of JSON and
// closes. With greet it speaks first.
func (p *port) serveTCP(conn *client, greet bool) error {
	defer conn.Close()
	if greet {
		hello := map[string]any{"server": p.server, "instance": p.instance, "greeting": "hello"}
		if err := writeLine(conn, hello); err != nil {
			return err
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(lineWait)); err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxLine)).ReadString('\n')
	if line == "" || (err != nil && !errors.Is(err, io.EOF)) {
		return err
	}
	nonce := cut(strings.TrimRight(line, "\r\n"))
	remote := conn.RemoteAddr().String()
	p.record(&receipt{
		Event: "payload", Remote: remote, Nonce: nonce, Protocol: "TCP", Bytes: int64(len(line)),
	})
	answer := map[string]any{
		"server": p.server, "instance": p.instance, "port": p.number,
		"nonce": nonce, "bytes": len(line), "remote": remote,
	}
	if err := writeLine(conn, answer); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(closeWait)); err != nil {
		return err
	}
	drain(conn)
	return nil
}

func writeLine(conn *client, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	_, err = conn.Write(append(text, '\n'))
	return err
}
