package app_test

import (
	"bufio"
	"bytes"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// hotDocument is the configuration of "keyhole dev" as far as a read goes: one policy, no pattern of labels matches.
func hotDocument() string {
	before, after, _ := strings.Cut(proxytest.Document, "    - bundle: builtin:attributes")
	_, after, _ = strings.Cut(after, "\nstate:")
	return before + "state:" + after
}

// discard is a writer of answers that costs nothing itself.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// hotHandler returns one read of a cached secret by the handler alone, without net/http.
func hotHandler(t testing.TB) func() {
	s, token := seeded(t, proxytest.Options{Document: hotDocument()})
	r := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: known}, Host: "localhost", RemoteAddr: "127.0.0.1:4711", Body: http.NoBody,
		Header: http.Header{"Authorization": {"Bearer " + token}},
	}
	r = r.WithContext(t.Context())
	w := &discard{header: http.Header{}}
	return func() {
		w.status = 200
		s.App.Native.ServeHTTP(w, r)
		if w.status != 200 {
			t.Fatal(w.status)
		}
	}
}

// asker sends one request over and over on one connection, and allocates nothing while it does.
func asker(t testing.TB, address, token string) func() {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	in := bufio.NewReaderSize(c, 16<<10)
	request := []byte("GET " + known + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n\r\n")
	status, length := []byte("HTTP/1.1 200 "), []byte("Content-Length: ")
	return func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		n := 0
		for first := true; ; first = false {
			line, err := in.ReadSlice('\n')
			if err != nil || first && !bytes.HasPrefix(line, status) {
				t.Fatalf("%s %v", line, err)
			}
			if line = bytes.TrimSpace(line); len(line) == 0 {
				break
			}
			if digits, ok := bytes.CutPrefix(line, length); ok {
				if n, err = strconv.Atoi(string(digits)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := in.Discard(n); err != nil {
			t.Fatal(err)
		}
	}
}

func hotServer(t testing.TB) func() {
	s, token := seeded(t, proxytest.Options{Document: hotDocument()})
	return asker(t, listening(t, s).NativeAddr().String(), token)
}

// hotBare is hotServer by a handler of net/http that gives a like answer and does nothing else.
func hotBare(t testing.TB) func() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("b"), 400)
	answer := map[string][]string{"Content-Length": {"400"}}
	for _, name := range []string{"Cache-Control", "X-Content-Type-Options", "X-Keyhole-Decision", "X-Keyhole-Cache", "Age", "Etag", "Content-Type"} {
		answer[name] = []string{"value"}
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), answer)
		_, _ = w.Write(body)
	})}
	done := make(chan error)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return asker(t, ln.Addr().String(), "a token")
}

func BenchmarkHotReadHandler(b *testing.B) { loop(b, hotHandler(b)) }
func BenchmarkHotReadServer(b *testing.B)  { loop(b, hotServer(b)) }
func BenchmarkHotReadBare(b *testing.B)    { loop(b, hotBare(b)) }

func loop(b *testing.B, ask func()) {
	ask()
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}
