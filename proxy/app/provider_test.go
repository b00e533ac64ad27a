package app_test

import (
	"fmt"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity/jwks/oidctest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// Tokens of a provider that shares no code with ours read, and go on doing so when it rotates its keys.
func TestRealProvider(t *testing.T) {
	p := oidctest.Start(t)
	algs := []string{"ES256", "RS256", "EdDSA"}
	var rules string
	for _, alg := range algs {
		rules += fmt.Sprintf("    - {name: %[1]s, issuer: %[2]q, ca: %[3]q, allow_private: true, algs: [%[1]s], audiences: [\"https://keyhole.example/%[1]s\"], require: {client_id: [app]}, map: {scope: [\"read:web/production/*\"]}}\n", alg, p.Issuer, "file:"+p.CAFile)
	}
	s, _ := seeded(t, proxytest.Options{Document: believing(rules)})
	for _, alg := range algs {
		if code, which, _ := get(t, s, p.Token(t, alg), known); code != 200 {
			t.Errorf("%s: got %d %s", alg, code, which)
		}
	}
	old := p.Token(t, "ES256")
	p.Rotate(t, true)
	for what, token := range map[string]string{"of the old key": old, "of the new one": p.Token(t, "ES256")} {
		if code, which, _ := get(t, s, token, known); code != 200 {
			t.Errorf("after a rotation, a token %s: got %d %s", what, code, which)
		}
	}
	if code, which, _ := get(t, s, old[:len(old)-4]+"AAAA", known); code != 401 || which != api.TokenInvalid {
		t.Errorf("another signature: got %d %s", code, which)
	}
}
