package app_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// document labels everything with a side and denies what has another one: a request that were decided by the labels of
// one document and the policy of another would be refused.
func document(side string, more ...string) string {
	doc := strings.Replace(proxytest.Document, `set: {classification: restricted}`, `set: {classification: restricted}
  - match: "**"
    set: {environment: `+side+`}`, 1)
	doc = strings.Replace(doc, `        rules:
`, `        rules:
          - name: other-side
            effect: deny
            when: {environment: [`+map[string]string{"left": "right", "right": "left"}[side]+`]}
`, 1)
	return doc + strings.Join(more, "\n")
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload replaces the document and reloads as Watch does.
func reload(t testing.TB, s *proxytest.Server, doc string) error {
	t.Helper()
	write(t, s.Dir, devdir.ConfigFile, doc)
	c, err := full.Drivers().Load(filepath.Join(s.Dir, devdir.ConfigFile), nil)
	if err != nil {
		return err
	}
	return s.App.Reload(t.Context(), c)
}

func do(t testing.TB, s *proxytest.Server, token, method, target, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://in-process.invalid"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	} else {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	resp, err := s.App.InProcess().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer)
}

const (
	scopes = "read:** write:** list:**"
	known  = "/v1/secrets/web/production/KEY"
)

func seeded(t testing.TB, o proxytest.Options) (*proxytest.Server, string) {
	t.Helper()
	s := proxytest.NewServer(t, o)
	token := proxytest.Issuer(s.Config)(t, map[string]string{"scope": scopes})
	if code, body := do(t, s, token, http.MethodPut, known, `{"value":"v"}`); code != 201 {
		t.Fatalf("writing: %d %s", code, body)
	}
	return s, token
}

// Policy and labels are replaced together, again and again, while callers read, write and list: nobody is refused.
func TestReloadUnderLoad(t *testing.T) {
	s, token := seeded(t, proxytest.Options{Document: document("left")})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var answers atomic.Int64
	for _, r := range [][3]string{
		{http.MethodGet, known, ""},
		{http.MethodGet, known, ""},
		{http.MethodPut, "/v1/secrets/web/preview/K", `{"value":"w"}`},
		{http.MethodGet, "/v1/secrets?prefix=web/production", ""},
	} {
		wg.Go(func() {
			for ctx.Err() == nil {
				code, body := do(t, s, token, r[0], r[1], r[2])
				if code >= 300 || strings.Contains(r[1], "?") && !strings.Contains(body, "KEY") {
					t.Errorf("%s %s: got %d %s", r[0], r[1], code, body)
					return
				}
				answers.Add(1)
			}
		})
	}
	digests := map[string]bool{}
	for i := range 10 {
		if err := reload(t, s, document([]string{"right", "left"}[i%2])); err != nil {
			t.Error(err)
		}
		digests[s.App.PolicyDigest()] = true
		for n := answers.Load(); answers.Load() < n+20 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	wg.Wait()
	if len(digests) != 2 {
		t.Errorf("%d policies were in force, want 2", len(digests))
	}
}

func TestReloadTakesWhatItMay(t *testing.T) {
	level := new(slog.LevelVar)
	s, token := seeded(t, proxytest.Options{Level: level, Mono: func() time.Duration { return time.Hour }})
	if err := reload(t, s, document("left", "limits: {per_principal: 1}", "log: {level: error}")); err != nil {
		t.Fatal(err)
	}
	if level.Level() != slog.LevelError {
		t.Errorf("the log level is %v", level.Level())
	}
	if code, _ := do(t, s, token, http.MethodGet, known, ""); code != 200 {
		t.Errorf("the first request: got %d", code)
	}
	if code, body := do(t, s, token, http.MethodGet, known, ""); code != 429 || !strings.Contains(body, `"code":"rate_limited"`) {
		t.Errorf("the second request: got %d %s", code, body)
	}
	// The change is in the log, as a pair.
	log, err := os.ReadFile(filepath.Join(s.Dir, "audit", "audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	digest := s.App.PolicyDigest()
	for _, kind := range []string{"intent", "outcome"} {
		n := 0
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, `"kind":"`+kind+`"`) && strings.Contains(line, `"action":"reload"`) && strings.Contains(line, digest) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d records of kind %s, want 1", n, kind)
		}
	}
}

func TestReloadRefusesWhatNeedsARestart(t *testing.T) {
	s, token := seeded(t, proxytest.Options{})
	digest := s.App.PolicyDigest()
	for key, change := range map[string][2]string{
		"listen":    {`"127.0.0.1:0", admin`, `"127.0.0.1:1", admin`},
		"upstreams": {"vault.db", "other.db"},
		"mounts":    {"at: web/preview", "at: web/other"},
		"state":     {"path: state.db", "path: other.db"},
		"audit":     {"audit/audit.jsonl", "audit/other.jsonl"},
		"cache":     {"version: 1\nregion", "version: 1\ncache: {entries: 5}\nregion"},
		"region":    {"test-1", "test-2"},
		"identity":  {"issuer: https://keyhole.test", "issuer: https://other.test"},
		"telemetry": {"version: 1\nregion", "version: 1\ntelemetry: {prometheus: false}\nregion"},
		"log":       {"version: 1\nregion", "version: 1\nlog: {format: text}\nregion"},
	} {
		doc := strings.Replace(document("right"), change[0], change[1], 1)
		err := reload(t, s, doc)
		if !errors.Is(err, app.ErrRestartNeeded) || !strings.HasSuffix(err.Error(), "cannot change "+key) {
			t.Errorf("%s: got %v", key, err)
		}
	}
	if s.App.PolicyDigest() != digest {
		t.Error("a refused configuration is in force")
	}
	if code, _ := do(t, s, token, http.MethodGet, known, ""); code != 200 {
		t.Errorf("got %d", code)
	}
}

func TestABadFileLeavesTheOldOneInForce(t *testing.T) {
	s, token := seeded(t, proxytest.Options{})
	write(t, s.Dir, "bad.wasm", "no module")
	write(t, s.Dir, "keys/bad.json", "{}")
	digest := s.App.PolicyDigest()
	for _, change := range [][2]string{
		{"version: 1", "versoin: 1"},
		{"bundle: builtin:attributes", "bundle: builtin:nothing"},
		{"bundle: builtin:scope", "{bundle: file:bad.wasm, unsigned: true}"},
		{"bundle: builtin:scope", "{bundle: file:missing.wasm, unsigned: true}"},
		{"keys/jwks.json", "keys/bad.json"},
		{"default: abstain", "default: maybe"},
	} {
		doc := strings.Replace(document("right", "limits: {per_principal: 1}"), change[0], change[1], 1)
		if err := reload(t, s, doc); err == nil || errors.Is(err, app.ErrRestartNeeded) {
			t.Errorf("%s: got %v", change[1], err)
		}
	}
	if s.App.PolicyDigest() != digest {
		t.Error("a refused policy is in force")
	}
	for range 3 {
		if code, _ := do(t, s, token, http.MethodGet, known, ""); code != 200 {
			t.Errorf("a refused limit is in force: got %d", code)
		}
	}
}

// Keys are taken anew with the rest: what they sign is believed, what a key that has gone signed is not, and what is
// published follows.
func TestReloadFollowsTheKeys(t *testing.T) {
	s, old := seeded(t, proxytest.Options{})
	key, err := identity.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	pem, err := identity.MarshalSigningKey(key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := identity.NewSigner(key, s.Config.Identity.Issuer, s.Config.Identity.Audience)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := identity.NewKeySet(signer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := keys.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.Dir, "keys/signing.pem", string(pem))
	token := proxytest.Issuer(s.Config)(t, map[string]string{"scope": scopes})
	if code, _ := do(t, s, token, http.MethodGet, known, ""); code != 401 {
		t.Errorf("a key that is not published yet: got %d", code)
	}
	write(t, s.Dir, "keys/jwks.json", string(jwks))
	if err := reload(t, s, proxytest.Document); err != nil {
		t.Fatal(err)
	}
	if code, _ := do(t, s, token, http.MethodGet, known, ""); code != 200 {
		t.Errorf("the new key: got %d", code)
	}
	if code, _ := do(t, s, old, http.MethodGet, known, ""); code != 401 {
		t.Errorf("the key that has gone: got %d", code)
	}
	if _, body := do(t, s, "", http.MethodGet, "/.well-known/jwks.json", ""); strings.TrimSpace(body) != string(jwks) {
		t.Errorf("published: %s", body)
	}
}
