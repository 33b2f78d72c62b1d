package main

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

func TestTCP(t *testing.T) {
	w := startWorld(t)
	conn := dial(t, w.address("tcp"))
	send(t, conn, "nonce-1\r\nmore that nobody reads")
	text, err := io.ReadAll(conn)
	must(t, err)
	var answer struct {
		Server, Instance, Nonce, Remote string
		Port, Bytes                     int
	}
	must(t, json.Unmarshal(text, &answer))
	if answer.Server != "alpha" || answer.Instance != w.instance || answer.Nonce != "nonce-1" || answer.Bytes != 9 ||
		answer.Remote != conn.LocalAddr().String() {
		t.Errorf("answer %+v", answer)
	}
	must(t, conn.Close())
	if r := w.receipt("payload", "nonce-1"); r.Bytes != 9 || r.Port != answer.Port || r.Remote != answer.Remote {
		t.Errorf("receipt %+v", r)
	}
	if r := w.receipt("close", "127.0.0.1"); r.Bytes != 31 {
		t.Errorf("receipt %+v", r)
	}
}

func TestTCPWithoutLineEnd(t *testing.T) {
	w := startWorld(t)
	conn := dial(t, w.address("tcp"))
	send(t, conn, "nonce-2")
	must(t, closeWrite(conn))
	if text, err := io.ReadAll(conn); err != nil || !strings.Contains(string(text), `"nonce":"nonce-2"`) {
		t.Errorf("answer %s, %v", text, err)
	}
}

func TestTCPTooLongALine(t *testing.T) {
	w := startWorld(t)
	conn := dial(t, w.address("tcp"))
	send(t, conn, strings.Repeat("x", 2*maxLine))
	_, err := io.ReadAll(conn)
	must(t, err)
	if r := w.receipt("payload"); r.Bytes != maxLine || len(r.Nonce) != maxText {
		t.Errorf("%d bytes, nonce of %d", r.Bytes, len(r.Nonce))
	}
}

func TestServerFirst(t *testing.T) {
	w := startWorld(t)
	conn := dial(t, w.address("server-first"))
	reader := bufio.NewReader(conn)
	greeting, err := reader.ReadString('\n')
	must(t, err)
	if !strings.Contains(greeting, `"greeting":"hello"`) || !strings.Contains(greeting, w.instance) {
		t.Errorf("greeting %s", greeting)
	}
	send(t, conn, "nonce-3\n")
	answer, err := io.ReadAll(reader)
	must(t, err)
	if !strings.Contains(string(answer), `"nonce":"nonce-3"`) {
		t.Errorf("answer %s", answer)
	}
	w.receipt("payload", "nonce-3")
}

func TestSilentClientIsOnlyAConnect(t *testing.T) {
	w := startWorld(t)
	conn := dial(t, w.address("tcp"))
	must(t, conn.Close())
	w.receipt("close")
	w.receipt("connect", "127.0.0.1")
	if payloads := w.receipts("payload"); len(payloads) != 0 {
		t.Errorf("payloads %+v", payloads)
	}
}
