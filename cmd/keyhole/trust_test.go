package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

func TestTrustTest(t *testing.T) {
	key := oidcemu.NewKey("ES256", "key-1")
	i := oidcemu.New(t, key)
	dir := t.TempDir()
	rule := func(name, project string) string {
		return fmt.Sprintf(`    - name: %s
      issuer: %s
      ca: file:%s
      allow_private: true
      algs: [ES256]
      require: {project_id: [%s]}
      map: {base: web/production, scope: ["read:web/production/*"], labels: {team: payments}}
`, name, i.URL, i.CAFile, project)
	}
	proxytest.WriteDocument(t, dir, strings.Replace(proxytest.Document, "upstreams:\n", "  trust:\n"+rule("other", "prj_2")+rule("web", "prj_1")+"upstreams:\n", 1))
	now := time.Now()
	good := map[string]any{"iss": i.URL, "sub": "web", "aud": "https://keyhole.test", "project_id": "prj_1", "iat": now.Unix() - 600, "exp": now.Add(time.Hour).Unix()}
	with := func(name string, value any) map[string]any {
		out := maps.Clone(good)
		out[name] = value
		return out
	}
	for _, tt := range []struct {
		name, token   string
		code          int
		problem, want string // of "other" and "web"
	}{
		{"taken", key.Sign(good), 0, "", "require project_id, "},
		{"audience", key.Sign(with("aud", "https://elsewhere.example")), 3, "no trust rule", "aud, aud"},
		{"expired", key.Sign(with("exp", now.Unix()-60)), 3, "expired", "require project_id, "},
		{"issuer", key.Sign(with("iss", i.URL+"/")), 3, "no trusted issuer", "iss, iss"},
		{"unknown kid", oidcemu.NewKey("ES256", "key-2").Sign(good), 3, "unknown signing key", "kid, kid"},
		{"signature", oidcemu.NewKey("ES256", "key-1").Sign(good), 3, "signature", "signature, signature"},
		{"not a token", "kh_nonsense", 3, "invalid token", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr := keyhole(t, tt.code, tt.token+"\n", "trust", "test", "--dir", dir, "--output", "json")
			var got app.TrustTest
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatal(err)
			}
			checks := make([]string, len(got.Rules))
			for n, r := range got.Rules {
				checks[n] = r.Check
			}
			if got.Taken != (tt.code == 0) || !strings.Contains(got.Problem, tt.problem) || strings.Join(checks, ", ") != tt.want {
				t.Errorf("got %s", stdout)
			}
			if tt.code == 0 && (got.Rule != "web" || got.Scope != "read:web/production/*" || got.Base != "web/production" || got.Subject != "web" || got.Claims["labels.team"] != "payments") {
				t.Errorf("got %s", stdout)
			}
			table, more := keyhole(t, tt.code, tt.token, "trust", "test", "--dir", dir)
			for _, part := range strings.Split(tt.token, ".") {
				if all := stdout + stderr + table + more; strings.Contains(all, part) {
					t.Errorf("the token is shown: %s", all)
				}
			}
			if tt.code != 0 && !strings.Contains(more, tt.problem) || tt.code == 0 && !strings.Contains(table, "team=payments") {
				t.Errorf("got %s%s", table, more)
			}
		})
	}
	keyhole(t, 2, "", "trust", "test", "--dir", dir)

	// The same token reads, and the server that serves it was told of no secret.
	p := proxytest.StartBinary(t, bin, dir, "serve", "--config", filepath.Join(dir, devdir.ConfigFile))
	token := key.Sign(good)
	_, stderr := keyhole(t, 4, "", "get", "web/production/KEY", "--url", p.Server.Native, "--token", token)
	if !strings.Contains(stderr, "not_found") {
		t.Errorf("got %s", stderr)
	}
	_, stderr = keyhole(t, 3, "", "get", "web/preview/KEY", "--url", p.Server.Native, "--token", token)
	if !strings.Contains(stderr, "scope_denied") {
		t.Errorf("got %s", stderr)
	}
}

// A client's assertion is told from a token, and one that the token endpoint would refuse says why.
func TestTrustTestOfAnAssertion(t *testing.T) {
	key := oidcemu.NewKey("EdDSA", "client")
	dir := t.TempDir()
	rule := "  trust:\n    - {name: worker, template: key, with: {client_id: worker}, jwks: \"file:worker.jwks\", map: {scope: [\"read:web/production/*\"]}}\n"
	proxytest.WriteDocument(t, dir, strings.Replace(proxytest.Document, "upstreams:\n", rule+"upstreams:\n", 1))
	if err := os.WriteFile(filepath.Join(dir, "worker.jwks"), oidcemu.JWKS(key), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	for _, tt := range []struct {
		ago        int64
		problem    string
		hint, rule string
	}{
		{0, "a client assertion is for the token endpoint alone", "client_assertion_type=", "worker  yes"},
		{600, "token expired", "a fresh token like it would be taken", "worker  yes"},
		{-600, "iat is in the future", "", "worker  yes"},
	} {
		token := key.Sign(map[string]any{"iss": "worker", "sub": "worker", "aud": "https://keyhole.test", "jti": "1", "iat": now - tt.ago, "exp": now - tt.ago + 60})
		stdout, stderr := keyhole(t, 3, token, "trust", "test", "--dir", dir)
		if !strings.Contains(stderr, tt.problem) || !strings.Contains(stderr, tt.hint) || !strings.Contains(stdout, tt.rule) {
			t.Errorf("of %d s ago: got %s%s", tt.ago, stdout, stderr)
		}
	}
}
