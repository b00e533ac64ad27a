package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/httpapi"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// The issuer of the metadata is the iss of tokens to the letter (RFC 8414 section 3.3), and the addresses are below it. A node
// that has none describes none.
func TestMetadata(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{})
	for issuer, want := range map[string]string{
		"https://k.example":  `{"issuer":"https://k.example","token_endpoint":"https://k.example/v1/token","jwks_uri":"https://k.example/.well-known/jwks.json",`,
		"https://k.example/": `{"issuer":"https://k.example/","token_endpoint":"https://k.example/v1/token","jwks_uri":"https://k.example/.well-known/jwks.json",`,
		"":                   `{"error":{"code":"unknown_route",`,
	} {
		n, err := httpapi.NewNative(httpapi.Config{Proxy: s.App.Proxy, JWKS: func() []byte { return nil }, CursorKey: [32]byte{1}, Issuer: issuer})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		n.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/oauth-authorization-server", nil))
		if status := w.Code; !strings.HasPrefix(w.Body.String(), want) || (status == http.StatusOK) != (issuer != "") {
			t.Errorf("%q: got %d %s", issuer, status, w.Body)
		}
	}
}
