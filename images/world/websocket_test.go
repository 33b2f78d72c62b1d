package main

import (
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

func TestWebSocketSendsTheMessageBack(t *testing.T) {
	w := startWorld(t)
	config, err := websocket.NewConfig("ws://"+w.address("http")+"/?attempt=n1", "http://a.test")
	must(t, err)
	conn, err := websocket.DialConfig(config)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	must(t, websocket.Message.Send(conn, "hello"))
	var said string
	must(t, websocket.Message.Receive(conn, &said))
	if said != "hello" {
		t.Errorf("it sent %q back", said)
	}
	if err := websocket.Message.Receive(conn, &said); err == nil {
		t.Error("it did not close")
	}
	if r := w.receipt("request", "n1"); r.Protocol != "HTTP/1.1" {
		t.Errorf("receipt %+v", r)
	}
}

func TestWebSocketAnswerTellsWhoAnswers(t *testing.T) {
	w := startWorld(t)
	request, err := http.NewRequest(http.MethodGet, "http://"+w.address("http")+"/delay/1ms?attempt=n1", nil)
	must(t, err)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	must(t, err)
	defer response.Body.Close()
	for name, want := range map[string]string{
		"X-World-Server": "alpha", "X-World-Instance": w.instance, "X-World-Nonce": "n1", "Server": "world",
		"Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", // RFC 6455, 1.3
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("status %d", response.StatusCode)
	}
}
