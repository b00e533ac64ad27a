package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/httpapi"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// native is the API over a server of its own.
func native(t *testing.T) (*httpapi.Native, *proxytest.Server) {
	t.Helper()
	s := proxytest.NewServer(t, proxytest.Options{})
	return over(t, s), s
}

// over is the API over a server, with these trusted proxies.
func over(t *testing.T, s *proxytest.Server, trusted ...string) *httpapi.Native {
	t.Helper()
	c := httpapi.Config{Proxy: s.App.Proxy, JWKS: func() []byte { return nil }, CursorKey: [32]byte{1}}
	for _, p := range trusted {
		c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(p))
	}
	n, err := httpapi.NewNative(c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Where a request came from: what a trusted proxy says of it, read from the right up to the first address that is not
// one, and otherwise the peer.
func TestSourceAddress(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{})
	for _, row := range []struct {
		trusted []string
		peer    string
		headers []string
		want    string
	}{
		{nil, "192.0.2.9:1", nil, "192.0.2.9"},
		{nil, "192.0.2.9:1", []string{"203.0.113.5"}, "192.0.2.9"},
		{nil, "[2001:db8::1]:1", nil, "2001:db8::1"},
		{nil, "[fe80::1%eth0]:1", nil, "fe80::1"},
		{[]string{"10.0.0.0/8"}, "192.0.2.9:1", []string{"203.0.113.5"}, "192.0.2.9"},
		{[]string{"10.0.0.0/8"}, "10.0.0.1:1", nil, "10.0.0.1"},
		{[]string{"10.0.0.0/8"}, "10.0.0.1:1", []string{"203.0.113.5"}, "203.0.113.5"},
		{[]string{"10.0.0.0/8"}, "10.0.0.1:1", []string{"198.51.100.7, 203.0.113.5 ,10.0.0.2"}, "203.0.113.5"},
		{[]string{"10.0.0.0/8"}, "10.0.0.1:1", []string{"198.51.100.7", "203.0.113.5"}, "203.0.113.5"},
		{[]string{"10.0.0.0/8"}, "10.0.0.1:1", []string{"203.0.113.5, what, 10.0.0.2"}, "10.0.0.2"},
		{[]string{"10.0.0.0/8"}, "10.0.0.1:1", []string{"203.0.113.5, "}, "10.0.0.1"},
		{[]string{"10.0.0.0/8"}, "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{[]string{"10.0.0.0/8"}, "10.0.0.1:1", []string{"::ffff:203.0.113.5"}, "203.0.113.5"},
		{[]string{"10.0.0.0/8"}, "[::ffff:10.0.0.1]:1", []string{"203.0.113.5"}, "203.0.113.5"},
		{[]string{"::ffff:10.0.0.0/120"}, "10.0.0.1:1", []string{"203.0.113.5"}, "203.0.113.5"},
		{[]string{"::ffff:10.0.0.0/120"}, "[::ffff:10.0.0.1]:1", []string{"203.0.113.5"}, "203.0.113.5"},
		{[]string{"::ffff:10.0.0.0/120"}, "10.0.1.1:1", []string{"203.0.113.5"}, "10.0.1.1"},
		{[]string{"fe80::/10"}, "[fe80::1%eth0]:1", []string{"203.0.113.5"}, "203.0.113.5"},
		{[]string{"fe80::/10"}, "[fe80::1%eth0]:1", []string{"203.0.113.5, fe80::2%eth1"}, "203.0.113.5"},
		{[]string{"fe80::/10"}, "[fe80::1%eth0]:1", []string{"fe80::2%eth1"}, "fe80::2"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/whoami", nil)
		r.RemoteAddr = row.peer
		r.Header["X-Forwarded-For"] = row.headers
		w := httptest.NewRecorder()
		over(t, s, row.trusted...).ServeHTTP(w, r)
		log, err := os.ReadFile(filepath.Join(s.Dir, "audit", "audit.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		_, record, _ := strings.Cut(string(log), `"id":"`+w.Header().Get("X-Keyhole-Decision")+`"`)
		if want := `"via":{"surface":"native","source_ip":"` + row.want + `"`; w.Code != 401 || !strings.Contains(record, want) {
			t.Errorf("trusting %v, from %s with %q: want %s in %s", row.trusted, row.peer, row.headers, want, record)
		}
	}
}
