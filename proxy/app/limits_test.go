package app_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// Every request gives its place back, whatever becomes of it; while all are taken, only questions about the server itself
// are answered.
func TestPlacesInFlight(t *testing.T) {
	s, token := seeded(t, proxytest.Options{Document: proxytest.Document + "limits: {max_in_flight: 1}\n"})
	for _, r := range [][2]string{
		{http.MethodGet, known},
		{http.MethodGet, "/v1/secrets/bad//path"},
		{http.MethodPost, known},
		{http.MethodGet, "/nowhere"},
		{http.MethodGet, "/v1/whoami"},
		{http.MethodGet, "/v1/secrets/web/production/MISSING"},
		{http.MethodGet, known},
	} {
		if code, body := do(t, s, token, r[0], r[1], ""); code == 503 {
			t.Errorf("%s %s: %s", r[0], r[1], body)
		}
	}
	if err := s.App.Proxy.Enter(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]int{known: 503, "/v1/whoami": 503, "/healthz": 200, "/readyz": 200, "/.well-known/jwks.json": 200} {
		code, body := do(t, s, token, http.MethodGet, target, "")
		if code != want || want == 503 && !strings.Contains(body, `"code":"overloaded"`) {
			t.Errorf("%s: got %d %s, want %d", target, code, body, want)
		}
	}
	s.App.Proxy.Leave()
	if code, _ := do(t, s, token, http.MethodGet, known, ""); code != 200 {
		t.Errorf("afterwards: got %d", code)
	}
}

// The limits hold over HTTP as they are documented: 429, Retry-After in whole seconds, and the same in milliseconds.
func TestRateLimitedAnswer(t *testing.T) {
	s, token := seeded(t, proxytest.Options{
		Document: proxytest.Document + "limits: {requests_per_second: 2}\n", Mono: func() time.Duration { return time.Hour },
	})
	if code, _ := do(t, s, token, http.MethodGet, known, ""); code != 200 {
		t.Fatalf("the second request: got %d", code)
	}
	req, err := http.NewRequest(http.MethodGet, "http://in-process.invalid"+known, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer no token at all")
	resp, err := s.App.InProcess().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" || resp.Header.Get("X-Keyhole-Decision") == "" {
		t.Errorf("got %s with %v", resp.Status, resp.Header)
	}
}

// A listener that is off is not opened anywhere: least of all on every address, where plain HTTP would need leave.
func TestNoServerWithoutAnAddress(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{Document: strings.Replace(proxytest.Document, `native: "127.0.0.1:0"`, `native: ""`, 1)})
	srv, err := s.App.Listen()
	if err == nil {
		t.Errorf("listening on %s, want an error", srv.NativeAddr())
		_ = srv.Close()
	}
}

// When most places are taken, what is cached is still answered, and what is not is shed.
func TestOverloadShedsMissesFirst(t *testing.T) {
	s, token := seeded(t, proxytest.Options{Document: proxytest.Document + "limits: {max_in_flight: 4}\n"})
	const miss = "/v1/secrets/web/production/MISSING"
	want := func(method, target, body string, want int) {
		t.Helper()
		if code, got := do(t, s, token, method, target, body); code != want {
			t.Errorf("%s %s: got %d %s, want %d", method, target, code, got, want)
		}
	}
	want(http.MethodGet, known, "", 200)
	for range 3 {
		if err := s.App.Proxy.Enter(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	want(http.MethodGet, known, "", 200)
	want(http.MethodGet, miss, "", 503)
	want(http.MethodPut, known, `{"value":"v"}`, 503)
	want(http.MethodGet, known+":versions", "", 503)
	s.App.Proxy.Leave()
	want(http.MethodGet, miss, "", 404)
	if err := s.App.Proxy.Enter(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	want(http.MethodGet, miss, "", 404) // that there is none is cached by now
}

// Any number of clients that do not finish their requests keep nobody from being served.
func TestSlowClientsTakeNoPlaces(t *testing.T) {
	s, token := seeded(t, proxytest.Options{Document: proxytest.Document + "limits: {max_in_flight: 2}\n"})
	address := listening(t, s).NativeAddr().String()
	const body = `{"value":"v"}`
	var slow []net.Conn
	for i := range 8 {
		c := dial(t, address)
		fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: k\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
			known, token, len(body))
		line := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
		if _, err := io.ReadFull(c, line); err != nil || !strings.Contains(string(line), " 100 ") {
			t.Fatalf("slow client %d: got %q, %v: it is not waited for", i, line, err)
		}
		slow = append(slow, c)
	}
	if code, got := do(t, s, token, http.MethodGet, known, ""); code != 200 {
		t.Errorf("a read: got %d %s", code, got)
	}
	if code, got := do(t, s, token, http.MethodPut, known, body); code != 200 {
		t.Errorf("a write: got %d %s", code, got)
	}
	for i, c := range slow {
		fmt.Fprint(c, body)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("slow client %d, when it is done: got %v, %v", i, resp, err)
		}
	}
}

// The limits of an upstream bound what is asked of it, of the embedded vault too.
func TestUpstreamsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := strings.Replace(proxytest.Document, `key: "file:keys/master.key"`, `key: "file:keys/master.key", limits: {rate: 1}`, 1)
		s := proxytest.NewServer(t, proxytest.Options{Document: doc, Mono: func() time.Duration { return time.Hour }})
		token := proxytest.Issuer(s.Config)(t, map[string]string{"scope": "list:web/production/**"})
		for i, want := range []int{200, 502} {
			ctx, cancel := context.WithCancel(t.Context())
			if i > 0 { // there is less time than it takes until the vault may be asked again
				ctx, cancel = context.WithTimeout(ctx, 900*time.Millisecond)
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://in-process.invalid/v1/secrets?prefix=web/production", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := s.App.InProcess().RoundTrip(req)
			cancel()
			if err != nil || resp.StatusCode != want {
				t.Errorf("list %d: got %v, %v, want %d", i+1, resp, err, want)
			}
		}
		if got := s.App.Proxy.Stats().Upstreams["local"]; got.Limited != 1 || got.Attempts != 1 {
			t.Errorf("%+v, want one request and one that found no room", got)
		}
	})
}
