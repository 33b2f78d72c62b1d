package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const peerSeconds = 8 * time.Second // less than the caller waits for all of them

// peers asks other control APIs. It goes where it is told and nowhere else:
// no proxy, no redirect.
var peers = &http.Client{
	Timeout:       peerSeconds,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// peer is another control API, and from where on its journal is wanted.
type peer struct {
	address netip.AddrPort
	after   uint64
}

// parsePeer reads `IP:PORT,SEQ`.
func parsePeer(text string) (peer, error) {
	where, seq, _ := strings.Cut(text, ",")
	address, err := netip.ParseAddrPort(where)
	if err != nil {
		return peer{}, fmt.Errorf("peer must be IP:PORT,SEQ, not %q", text)
	}
	after, err := strconv.ParseUint(seq, 10, 63)
	if err != nil {
		return peer{}, fmt.Errorf("peer must be IP:PORT,SEQ, not %q", text)
	}
	return peer{address, after}, nil
}

// ask returns what the peer answers to the same question.
func (p peer) ask(ctx context.Context, kind string, match []string) (json.RawMessage, error) {
	query := url.Values{"after": {strconv.FormatUint(p.after, 10)}, "match": match}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/%s?%s", p.address, kind, query.Encode()), nil)
	if err != nil {
		return nil, err
	}
	response, err := peers.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer json.RawMessage
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("peer %s: %w", p.address, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("peer %s: %s: %s", p.address, response.Status, answer)
	}
	return answer, nil
}
