package vault_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// edge stands at the network edge of the vault: it passes everything on, or answers in its place.
type edge struct {
	*httptest.Server
	proxy *httputil.ReverseProxy

	mu     sync.Mutex
	answer func(http.ResponseWriter, *http.Request) bool // true: it has answered; nil: nothing is in the way
	token  string                                        // the last one that came by
	calls  []string                                      // method and path of each request
	came   *sync.Cond                                    // calls has grown
}

// newEdge stands before the server at target; "" is none, for tests that answer themselves.
func newEdge(t *testing.T, target string) *edge {
	t.Helper()
	e := &edge{}
	e.came = sync.NewCond(&e.mu)
	if target != "" {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{}
		e.proxy = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }, Transport: transport}
		t.Cleanup(transport.CloseIdleConnections)
	}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.calls = append(e.calls, r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), "/v1/"))
	e.came.Broadcast()
	if token := r.Header.Get("X-Vault-Token"); token != "" {
		e.token = token
	}
	answer := e.answer
	e.mu.Unlock()
	switch {
	case answer != nil && answer(w, r):
	case e.proxy != nil:
		e.proxy.ServeHTTP(w, r)
	default:
		w.WriteHeader(http.StatusNotImplemented)
	}
}

// interpose lets answer stand in the way.
func (e *edge) interpose(answer func(http.ResponseWriter, *http.Request) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

// asked returns the requests since it was last called.
func (e *edge) asked() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls := e.calls
	e.calls = nil
	return calls
}

// await returns when a request has come since asked was last called.
func (e *edge) await() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.calls) == 0 {
		e.came.Wait()
	}
}

// always gives every request but logins the same answer.
func always(status int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if isLogin(r) {
			return false
		}
		reply(w, status, body)
		return true
	}
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

func isLogin(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/auth/") }

func open(t *testing.T, c vault.Config) secret.Upstream {
	t.Helper()
	u, err := vault.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return u
}

func constant(s string) vault.Source { return func() ([]byte, error) { return []byte(s), nil } }

// wantKind holds an error against the one kind that it must be.
func wantKind(t *testing.T, doing string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", doing, err, want)
	}
	for _, other := range []error{secret.ErrNotFound, secret.ErrDenied, secret.ErrUnavailable, secret.ErrThrottled, secret.ErrTimeout, secret.ErrConflict} {
		if errors.Is(err, other) && !errors.Is(want, other) {
			t.Errorf("%s: got %v, which is %v as well", doing, err, other)
		}
	}
}
