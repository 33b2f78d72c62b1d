package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// exchange sends raw requests on one connection and reads their answers.
func exchange(t *testing.T, w *world, requests ...string) []seen {
	t.Helper()
	conn := dial(t, w.address("http"))
	reader := bufio.NewReader(conn)
	answers := []seen{}
	for _, request := range requests {
		send(t, conn, request)
		answers = append(answers, readAnswer(t, reader))
	}
	return answers
}

func readAnswer(t *testing.T, reader *bufio.Reader) seen {
	t.Helper()
	response, err := http.ReadResponse(reader, nil)
	must(t, err)
	var answer seen
	readJSON(t, response, &answer)
	return answer
}

func TestHTTP1HeadersAreToldAsTheyCame(t *testing.T) {
	w := startWorld(t)
	answers := exchange(t, w,
		"GET /one/../x//y?attempt=n1&b=%2F HTTP/1.1\r\nhOsT: a.test\r\nX-MiXed:  1 \r\nb: 2\r\nB: 3\r\nfolded: 4\r\n  5\r\n\r\n",
		"POST /two HTTP/1.1\r\nHost: b.test\r\nX-Egress-Attempt: n2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		"PUT /three HTTP/1.1\r\nHost: c.test\r\nContent-Length: 5\r\n\r\nhello",
		"GET /four HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: d.test\r\nx: last\r\n\r\n",
	)

	first := answers[0]
	want := []header{{"hOsT", "a.test"}, {"X-MiXed", "1"}, {"b", "2"}, {"B", "3"}, {"folded", "4 5"}}
	if !reflect.DeepEqual(first.Headers, want) || first.HeadersDecoded {
		t.Errorf("headers %v, want %v", first.Headers, want)
	}
	if first.Path != "/one/../x//y?attempt=n1&b=%2F" || first.Host != "a.test" || first.Nonce != "n1" ||
		first.Protocol != "HTTP/1.1" || first.Server != "alpha" || first.Instance != w.instance {
		t.Errorf("answer %+v", first)
	}
	second := answers[1]
	if second.BodyBytes != 2 || second.Nonce != "n2" || len(second.Headers) != 3 ||
		second.BodySHA256 != "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4" {
		t.Errorf("answer %+v", second)
	}
	if answers[2].BodyBytes != 5 || answers[3].Protocol != "HTTP/1.0" || answers[4].Path != "*" {
		t.Errorf("answers %+v", answers[2:])
	}
	for _, answer := range answers {
		if answer.HeadersDecoded {
			t.Errorf("headers of %s were not recorded from the wire", answer.Path)
		}
	}

	r := w.receipt("request", "n1")
	if !reflect.DeepEqual(r.Headers, want) || r.Host != "a.test" || r.Method != "GET" || r.Remote != first.Remote ||
		r.Server != "alpha" || r.Instance != w.instance || r.Port != first.Port {
		t.Errorf("receipt %+v", r)
	}
	if r := w.receipt("request", "n2"); r.Bytes != 2 {
		t.Errorf("receipt %+v", r)
	}
	if all := w.receipts("connect", "127.0.0.1"); len(all) != 1 {
		t.Errorf("connects %+v, want one", all)
	}
}

func TestPipelinedRequestsNeverGetAnothersHeaders(t *testing.T) {
	w := startWorld(t)
	conn := dial(t, w.address("http"))
	send(t, conn, "GET /a?attempt=p1 HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\nGET /b?attempt=p2 HTTP/1.1\r\nHost: b\r\nY: 2\r\n\r\n")
	reader := bufio.NewReader(conn)
	readAnswer(t, reader)
	second := readAnswer(t, reader)
	if !second.HeadersDecoded || !reflect.DeepEqual(second.Headers, []header{{"y", "2"}}) {
		t.Errorf("answer %+v", second)
	}
}

func TestReceiptIsThereBeforeTheAnswer(t *testing.T) {
	w := startWorld(t)
	conn := dial(t, w.address("http"))
	send(t, conn, "GET /delay/20s?attempt=early HTTP/1.1\r\nHost: a.test\r\n\r\n")
	w.receipt("request", "early")
}

func http2Client() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}, Timeout: 10 * time.Second}
}

func TestHTTP2WithPriorKnowledge(t *testing.T) {
	w := startWorld(t)
	client := http2Client()
	defer client.CloseIdleConnections()
	response, err := client.Post("http://"+w.address("http")+"/x?attempt=h2", "text/plain", strings.NewReader("hi"))
	must(t, err)
	if response.Header.Get("Server") != "world" || response.Header.Get("X-World-Server") != "alpha" {
		t.Errorf("headers %v", response.Header)
	}
	var answer seen
	readJSON(t, response, &answer)
	if answer.Protocol != "HTTP/2" || answer.BodyBytes != 2 || !answer.HeadersDecoded ||
		answer.Headers[0] != (header{"accept-encoding", "gzip"}) {
		t.Errorf("answer %+v", answer)
	}
	if r := w.receipt("request", "h2"); r.Protocol != "HTTP/2" || r.Bytes != 2 || r.Method != "POST" {
		t.Errorf("receipt %+v", r)
	}
}

func TestGRPCHealth(t *testing.T) {
	w := startWorld(t)
	client := http2Client()
	defer client.CloseIdleConnections()
	request, err := http.NewRequest("POST", "http://"+w.address("http")+"/grpc.health.v1.Health/Check",
		bytes.NewReader([]byte{0, 0, 0, 0, 0}))
	must(t, err)
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	request.Header.Set("X-Egress-Attempt", "g1")
	response, err := client.Do(request)
	must(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	if !bytes.Equal(body, []byte{0, 0, 0, 0, 2, 8, 1}) || response.Trailer.Get("Grpc-Status") != "0" ||
		response.Header.Get("Content-Type") != "application/grpc" || response.Header.Get("X-World-Instance") != w.instance {
		t.Errorf("body %v, header %v, trailer %v", body, response.Header, response.Trailer)
	}
	if r := w.receipt("request", "g1"); r.Bytes != 5 || r.Path != "/grpc.health.v1.Health/Check" {
		t.Errorf("receipt %+v", r)
	}
}

func TestPathsWithMeaning(t *testing.T) {
	w := startWorld(t)
	for path, status := range map[string]int{
		"/status/503": 503, "/status/204": 204, "/status/101": 400, "/status/x": 400, "/status": 400,
		"/delay/1ms": 200, "/delay/31s": 400, "/delay/-1s": 400, "/bytes/70000": 200, "/bytes/-1": 400,
		"/bytes/99999999999": 400, "/statuses": 200,
	} {
		response, err := http.Get("http://" + w.address("http") + path)
		must(t, err)
		body, err := io.ReadAll(response.Body)
		must(t, err)
		must(t, response.Body.Close())
		if response.StatusCode != status {
			t.Errorf("%s answered %d, want %d", path, response.StatusCode, status)
		}
		if path == "/bytes/70000" && len(body) != 70000 {
			t.Errorf("%s answered %d bytes", path, len(body))
		}
	}
	started := time.Now()
	response, err := http.Head("http://" + w.address("http") + "/delay/200ms")
	must(t, err)
	must(t, response.Body.Close())
	if took := time.Since(started); took < 200*time.Millisecond {
		t.Errorf("delay took %s", took)
	}
}

func TestMalformedClientsAreSurvived(t *testing.T) {
	w := startWorld(t)
	for _, text := range []string{
		"\x00\x01\x02\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 200<<10) + "\r\n\r\n",
	} {
		for _, protocol := range []string{"http", "tls", "tcp", "server-first"} {
			conn := dial(t, w.address(protocol))
			_, _ = io.WriteString(conn, text) // may be reset halfway
			_ = conn.Close()
		}
	}
	exchange(t, w, "GET / HTTP/1.1\r\nHost: still.test\r\n\r\n")
	w.receipt("request", "still.test")
}
