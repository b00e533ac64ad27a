package jwks_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
)

// FuzzDiscovery: whatever an issuer answers, the keys come over https from its own host.
func FuzzDiscovery(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/keys?a=b"}`))
	f.Add([]byte(`{"issuer":"https://issuer.example","jwks_uri":"https://ISSUER.example:443/%6beys"}`))
	f.Add([]byte(`{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example@10.0.0.1/"}`))
	f.Add([]byte(`{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example.evil.example/"}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		u, err := jwks.KeysOf(document, "https://issuer.example", false)
		if err != nil {
			return
		}
		if u.Scheme != "https" || !strings.EqualFold(u.Hostname(), "issuer.example") || u.Port() != "" && u.Port() != "443" || u.User != nil || u.Opaque != "" {
			t.Fatalf("the keys would come from %s", u)
		}
		// What is sent is what was checked.
		req, err := http.NewRequest(http.MethodGet, u.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.EqualFold(req.URL.Hostname(), "issuer.example") || strings.ContainsAny(req.URL.RequestURI(), " \r\n") {
			t.Fatalf("the request goes to %s", req.URL)
		}
	})
}

// FuzzCacheControl: whatever the header says, keys are fetched anew within the bounds.
func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{"max-age=600", `public,max-age="86400"`, "no-store", "max-age=99999999999999999999", "max-age=1\nmax-age=x"} {
		f.Add(s, "0")
	}
	f.Fuzz(func(t *testing.T, control, age string) {
		h := http.Header{"Cache-Control": strings.Split(control, "\n"), "Age": {age}}
		if got := jwks.Freshness(h); got < 5*time.Minute || got > 24*time.Hour {
			t.Fatalf("fresh for %v", got)
		}
		h.Add("Cache-Control", "no-store")
		if got := jwks.Freshness(h); got != 5*time.Minute {
			t.Fatalf("with no-store: fresh for %v", got)
		}
	})
}
