package doctor_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/doctor"
	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// A key that the other Keyhole does not take is told with the name that it goes by, and a key that others may read is told.
func TestAnotherKeyhole(t *testing.T) {
	metadata := `{"issuer":"https://region.example","token_endpoint":"https://region.example/v1/token"}`
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/oauth-authorization-server" {
			if metadata == "" {
				w.WriteHeader(http.StatusNotFound)
				_, _ = fmt.Fprint(w, `{"error":{"code":"unknown_route","message":"x"}}`)
				return
			}
			_, _ = fmt.Fprint(w, metadata)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, `{"error":"invalid_client","error_description":"canary"}`)
	}))
	t.Cleanup(other.Close)
	dir, c := setUp(t)
	key, err := identity.NewClientKey("edge")
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.Private()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "keys", "region.key")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, "upstreams:\n", fmt.Sprintf("upstreams:\n  region: {type: keyhole, address: %q, auth: {method: key, key: \"file:keys/region.key\"}}\n", other.URL))
	edit(t, dir, "mounts:\n", "mounts:\n  - {path: region, upstream: region}\n")
	found := about(t, c)
	wantOne(t, found, doctor.Fail, "upstreams.region.auth", "it gives us no token")
	if !strings.Contains(found[0].Fix, `"https://region.example"`) {
		t.Errorf("got %q", found[0].Fix)
	}
	// One that takes tokens of others alone has no name, and is a Keyhole all the same.
	metadata = ""
	wantOne(t, about(t, c), doctor.Fail, "upstreams.region.auth", "it gives us no token")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, f := range doctor.Examine(t.Context(), c) {
		if f.Check == "permissions" && f.Where == file && f.Status == doctor.Fail {
			return
		}
	}
	t.Error("a key that others may read is not told")
}
