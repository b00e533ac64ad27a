package jwks_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
)

// issuer publishes keys over TLS on loopback.
type issuer struct {
	*httptest.Server

	mu       sync.Mutex
	keys     *identity.KeySet
	document string           // of discovery; "" is a good one
	answer   http.HandlerFunc // when not nil, answers for the keys
	asked    []string
}

func newIssuer(t testing.TB, keys *identity.KeySet, options ...func(*httptest.Server)) *issuer {
	t.Helper()
	i := &issuer{keys: keys}
	i.Server = httptest.NewUnstartedServer(i)
	i.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, o := range options {
		o(i.Server)
	}
	i.StartTLS()
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.asked = append(i.asked, r.URL.RequestURI())
	keys, document, answer := i.keys, i.document, i.answer
	i.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		if document == "" {
			document = `{"issuer":"` + i.URL + `","jwks_uri":"` + i.URL + `/keys?v=1"}`
		}
		_, _ = io.WriteString(w, document)
	case answer != nil:
		answer(w, r)
	default:
		w.Header().Set("Cache-Control", "public, max-age=600")
		_ = json.NewEncoder(w).Encode(keys)
	}
}

func (i *issuer) publish(keys *identity.KeySet) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = keys
}

func (i *issuer) respond(answer http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

func (i *issuer) requests() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	asked := i.asked
	i.asked = nil
	return asked
}

func (i *issuer) config() jwks.Config {
	roots := x509.NewCertPool()
	roots.AddCert(i.Certificate())
	return jwks.Config{Issuer: i.URL, Roots: roots, AllowPrivate: true}
}

func open(t testing.TB, c jwks.Config) *jwks.Source {
	t.Helper()
	s, err := jwks.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSource(t, s) })
	return s
}

func tlsVersion(most uint16) func(*httptest.Server) {
	return func(s *httptest.Server) { s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: most} }
}
