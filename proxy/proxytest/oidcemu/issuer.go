package oidcemu

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Issuer publishes keys at URL/jwks, and says so at URL/.well-known/openid-configuration.
type Issuer struct {
	URL    string // https://127.0.0.1:PORT, which is also the iss that discovery gives
	CAFile string // the authority of its certificate, PEM

	mu      sync.Mutex
	keys    []*Key
	down    bool
	fetches int
}

// New runs an issuer until t ends.
func New(t testing.TB, keys ...*Key) *Issuer {
	t.Helper()
	i := &Issuer{keys: keys}
	srv := httptest.NewUnstartedServer(i)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that hang up, and of those that do not trust it
	srv.StartTLS()
	t.Cleanup(srv.Close)
	i.URL = srv.URL
	i.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(i.CAFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

// JWKSURI is where the keys are.
func (i *Issuer) JWKSURI() string { return i.URL + "/jwks" }

// Publish replaces the keys.
func (i *Issuer) Publish(keys ...*Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

// SetDown makes every answer a 503, or lets the issuer answer again.
func (i *Issuer) SetDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// Fetches counts the requests for keys.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// ServeHTTP answers as an issuer does.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/jwks") {
		i.fetches++
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case i.down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/jwks":
		_, _ = w.Write(JWKS(i.keys...))
	case r.URL.Path == "/.well-known/openid-configuration":
		_, _ = io.WriteString(w, text(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/jwks"}))
	default:
		http.NotFound(w, r)
	}
}
