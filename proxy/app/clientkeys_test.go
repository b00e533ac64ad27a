package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

const workerRule = `    - name: worker
      template: key
      with: {client_id: railway-worker}
      jwks: file:keys/worker.jwks.json
      map: {scope: ["read:web/production/*"]}
`

func publicKey(t *testing.T) []byte {
	t.Helper()
	k, err := identity.NewClientKey("railway-worker")
	if err != nil {
		t.Fatal(err)
	}
	public, err := k.Public()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// jwkOf is the public half of another algorithm's key.
func jwkOf(t *testing.T, algorithm string) []byte {
	t.Helper()
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(oidcemu.JWKS(oidcemu.NewKey(algorithm, "k")), &set); err != nil {
		t.Fatal(err)
	}
	return set.Keys[0]
}

func TestAddClientKey(t *testing.T) {
	dir := t.TempDir()
	proxytest.WriteDocument(t, dir, believing(plainRule(&oidcemu.Issuer{URL: "https://a.example", CAFile: "ca.pem"}, "web"), workerRule,
		strings.NewReplacer("name: worker", "name: both", "railway-worker", "both", "worker.jwks", "both.jwks").Replace(workerRule)+"      algs: [EdDSA, ES256]\n"))
	c, err := full.Drivers().Load(filepath.Join(dir, devdir.ConfigFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "keys", "worker.jwks.json")
	first, second := publicKey(t), publicKey(t)
	got, err := app.AddClientKey(c, "worker", first)
	if err != nil || !got.New || got.Keys != 1 || got.File != file || !strings.Contains(string(first), got.KeyID) {
		t.Fatalf("got %+v (%v)", got, err)
	}
	// What people wrote stays, and the file stays where a link leads.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	noted := strings.Replace(string(text), `"kty"`, `"note": "of the old worker", "kty"`, 1)
	write(t, dir, "real.json", strings.Replace(noted, "{", `{"about": "workers", `, 1))
	if err := errors.Join(os.Remove(file), os.Symlink(filepath.Join(dir, "real.json"), file)); err != nil {
		t.Fatal(err)
	}
	if got, err = app.AddClientKey(c, "worker", second); err != nil || got.New || got.Keys != 2 || got.File != filepath.Join(dir, "real.json") {
		t.Fatalf("got %+v (%v)", got, err)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := identity.ParseKeySet(after)
	if err != nil || keys.Len() != 2 || !strings.Contains(string(after), "of the old worker") || !strings.Contains(string(after), `"about": "workers"`) {
		t.Errorf("got %s (%v)", after, err)
	}
	if got, err := app.AddClientKey(c, "both", jwkOf(t, "ES256")); err != nil || got.Keys != 1 {
		t.Errorf("an algorithm that the rule takes: got %+v (%v)", got, err)
	}
	kid := fmt.Sprintf(`"kid":%q`, got.KeyID)
	for name, tt := range map[string]struct {
		rule string
		jwk  []byte
		want string
	}{
		"no such rule":         {"nobody", publicKey(t), `no rule "nobody"`},
		"a platform's rule":    {"web", publicKey(t), "not of template key"},
		"the same again":       {"worker", first, "it is there already"},
		"under another kid":    {"worker", []byte(strings.Replace(string(second), kid, `"kid":"x"`, 1)), "it is there already"},
		"another of that kid":  {"worker", withKid(t, publicKey(t), got.KeyID), "a key of the same kid is"},
		"another algorithm":    {"worker", jwkOf(t, "RS256"), "it is for RS256, and the rule takes EdDSA"},
		"no key":               {"worker", []byte("{}"), "kty is absent"},
		"the private half":     {"worker", []byte(strings.Replace(string(first), `"kty"`, `"d":"CANARY","kty"`, 1)), "it is the private half"},
		"something symmetric":  {"worker", []byte(`{"kty":"oct","k":"CANARY"}`), "it is the private half"},
		"too many for one set": {"both", nil, "more than 64 keys"},
	} {
		if tt.jwk == nil {
			var many []string
			for range 64 {
				many = append(many, string(publicKey(t)))
			}
			write(t, dir, "keys/both.jwks.json", `{"keys":[`+strings.Join(many, ",")+`]}`)
			tt.jwk = publicKey(t)
		}
		_, err := app.AddClientKey(c, tt.rule, tt.jwk)
		if !errors.Is(err, app.ErrClientKey) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(after) {
		t.Errorf("a refusal changed the file (%v)", err)
	}
}

// Before the first key is registered the file that the rule names is not there, and the error says what makes it.
func TestClientRuleWithoutKeys(t *testing.T) {
	dir := t.TempDir()
	proxytest.WriteDocument(t, dir, believing(workerRule))
	c, err := full.Drivers().Load(filepath.Join(dir, devdir.ConfigFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.TestToken(t.Context(), c, os.Getenv, slog.New(slog.DiscardHandler), "x"); err == nil || !strings.Contains(err.Error(), "keyhole trust add-key") {
		t.Errorf("got %v", err)
	}
}

func withKid(t *testing.T, jwk []byte, kid string) []byte {
	t.Helper()
	var m map[string]string
	if err := json.Unmarshal(jwk, &m); err != nil {
		t.Fatal(err)
	}
	m["kid"] = kid
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
