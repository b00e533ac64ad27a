package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

const ourAudience = "https://keyhole.test"

// believing is the test document with these trust rules.
func believing(rules ...string) string {
	return strings.Replace(proxytest.Document, "  keys: file:keys/jwks.json\n", "  keys: file:keys/jwks.json\n  trust:\n"+strings.Join(rules, ""), 1)
}

// plainRule is a rule for tokens of i's own iss, whose project is prj_1.
func plainRule(i *oidcemu.Issuer, name string, more ...string) string {
	return fmt.Sprintf(`    - name: %s
      issuer: %s
      ca: file:%s
      allow_private: true
      algs: [ES256]
      require: {project_id: [prj_1]}
      map: {base: web/production, scope: ["read:web/production/*"]}
%s`, name, i.URL, i.CAFile, strings.Join(more, ""))
}

func plainClaims(i *oidcemu.Issuer) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": i.URL, "sub": "web", "aud": ourAudience, "project_id": "prj_1", "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	}
}

// get reads a secret and returns status, error code and Retry-After.
func get(t testing.TB, s *proxytest.Server, token, target string) (int, api.Code, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://in-process.invalid"+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.App.InProcess().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	var body api.ErrorBody
	_ = json.NewDecoder(resp.Body).Decode(&body)
	return resp.StatusCode, body.Error.Code, resp.Header.Get("Retry-After")
}

// platformToken is a fixture of package trust: a rule as configuration writes it, and a payload as the platform writes it.
type platformToken struct {
	Template  string
	With      map[string]any
	Rule      map[string]any
	Audiences []string
	Map       map[string]any
	Alg       string
	Claims    map[string]any
	Grant     struct{ Base, Scope string }
	Refused   []struct {
		Set    map[string]any
		Remove []string
	}
}

func platformTokens(t *testing.T) map[string]*platformToken {
	t.Helper()
	files, err := filepath.Glob("../identity/trust/testdata/tokens/*.json")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	out := map[string]*platformToken{}
	for _, file := range files {
		p := &platformToken{}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(p); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if p.Template != "key" { // whose tokens are for the token endpoint
			out[strings.TrimSuffix(filepath.Base(file), ".json")] = p
		}
	}
	return out
}

// rule is the fixture's, with keys where i has them. JSON is YAML.
func (p *platformToken) rule(t *testing.T, name string, i *oidcemu.Issuer) string {
	t.Helper()
	r := map[string]any{
		"name": name, "audiences": p.Audiences, "map": p.Map, "jwks_uri": i.JWKSURI(), "ca": "file:" + i.CAFile, "allow_private": true,
	}
	if p.Template != "" {
		r["template"], r["with"] = p.Template, p.With
	}
	maps.Copy(r, p.Rule)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return "    - " + string(text) + "\n"
}

// sign gives the claims the times of a token that was made now, or so long ago, and a header as the platforms have them.
func (p *platformToken) sign(t *testing.T, k *oidcemu.Key, ago time.Duration, change map[string]any) string {
	t.Helper()
	claims := maps.Clone(p.Claims)
	at := func(name string) int64 {
		n, _ := claims[name].(json.Number)
		v, _ := n.Int64()
		return v
	}
	shift := time.Now().Add(-ago).Unix() - at("iat")
	for _, name := range []string{"exp", "nbf", "iat"} {
		if claims[name] != nil {
			claims[name] = at(name) + shift
		}
	}
	maps.Copy(claims, change)
	header := k.Header()
	switch p.Template {
	case "kubernetes":
		delete(header, "typ")
	case "azure", "github":
		header["x5t"] = "nOo3ZDrODXEK1jKWhXslHR_KXEg"
	}
	texts := [2]string{}
	for n, v := range []any{header, claims} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		texts[n] = string(text)
	}
	return k.SignText(texts[0], texts[1])
}

// readable is a path that the token of the fixture may read.
func (p *platformToken) readable() string {
	scope, _, _ := strings.Cut(p.Grant.Scope, " ")
	pattern := strings.TrimPrefix(scope, "read:")
	return "/v1/secrets/" + strings.TrimRight(pattern, "*") + "NOT_THERE"
}

// stranger is claims of another identity of the platform, that the rule must not take.
func (p *platformToken) stranger(t *testing.T) map[string]any {
	t.Helper()
	for _, r := range p.Refused {
		deep := func(name string) bool { return strings.HasPrefix(name, "/") }
		if len(r.Set) > 0 && r.Remove == nil && !slices.ContainsFunc(slices.Collect(maps.Keys(r.Set)), deep) {
			return r.Set
		}
	}
	t.Fatal("the fixture has none")
	return nil
}

// A token as each platform makes them may read what its rule maps it to and nothing else, without a secret stored anywhere.
func TestTokensOfEachPlatform(t *testing.T) {
	keys := map[string]*oidcemu.Key{}
	var published []*oidcemu.Key
	for _, alg := range []string{"RS256", "ES256", "ES384"} {
		keys[alg] = oidcemu.NewKey(alg, "kid-"+alg)
		published = append(published, keys[alg])
	}
	i := oidcemu.New(t, published...)
	all := platformTokens(t)
	var rules []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		rules = append(rules, all[name].rule(t, name, i))
	}
	var clock atomic.Int64
	s, _ := seeded(t, proxytest.Options{Document: believing(rules...), Mono: func() time.Duration { return time.Duration(clock.Load()) }})
	if n := i.Fetches(); n != 0 {
		t.Errorf("%d fetches before the first token", n)
	}
	for name, p := range all {
		t.Run(name, func(t *testing.T) {
			clock.Add(int64(time.Second)) // the refused tokens of one platform are not too many
			token := p.sign(t, keys[p.Alg], 0, nil)
			for range 2 {
				// There is nothing: who may read is told so.
				if code, which, _ := get(t, s, token, p.readable()); code != 404 || which != api.NotFound {
					t.Errorf("what the rule maps to: got %d %s", code, which)
				}
			}
			if code, which, _ := get(t, s, token, "/v1/secrets/elsewhere/"+name+"/KEY"); code != 403 || which != api.ScopeDenied {
				t.Errorf("anything else: got %d %s", code, which)
			}
			if code, body := do(t, s, token, http.MethodPut, p.readable(), `{"value":"w"}`); code != 403 {
				t.Errorf("writing: got %d %s", code, body)
			}
			code, body := do(t, s, token, http.MethodGet, "/v1/whoami", "")
			if code != 200 || !strings.Contains(body, strings.ReplaceAll(p.Grant.Scope, " ", `","`)) || !strings.Contains(body, `"`+p.Claims["iss"].(string)+`"`) {
				t.Errorf("whoami: got %d %s", code, body)
			}
			for what, bad := range map[string]string{
				"another key under the kid": p.sign(t, oidcemu.NewKey("ES256", "kid-"+p.Alg), 0, nil),
				"another identity":          p.sign(t, keys[p.Alg], 0, p.stranger(t)),
				"another audience":          p.sign(t, keys[p.Alg], 0, map[string]any{"aud": "https://elsewhere.example"}),
				"another issuer":            p.sign(t, keys[p.Alg], 0, map[string]any{"iss": p.Claims["iss"].(string) + "/"}),
			} {
				if code, which, _ := get(t, s, bad, known); code != 401 || which != api.TokenInvalid {
					t.Errorf("%s: got %d %s", what, code, which)
				}
			}
			if code, which, _ := get(t, s, p.sign(t, keys[p.Alg], 48*time.Hour, nil), known); code != 401 || which != api.TokenExpired {
				t.Errorf("of the day before yesterday: got %d %s", code, which)
			}
		})
	}
	issuers := map[any]bool{}
	for _, p := range all {
		issuers[p.Claims["iss"]] = true
	}
	if n := i.Fetches(); n != len(issuers) {
		t.Errorf("%d fetches for %d issuers", n, len(issuers))
	}
}

func TestUnknownKeysOfAnIssuerOverHTTP(t *testing.T) {
	old, fresh := oidcemu.NewKey("ES256", "old"), oidcemu.NewKey("ES256", "new")
	i := oidcemu.New(t, old)
	s, _ := seeded(t, proxytest.Options{Document: believing(plainRule(i, "web"))})
	if code, which, _ := get(t, s, old.Sign(plainClaims(i)), known); code != 200 {
		t.Fatalf("got %d %s", code, which)
	}
	i.Publish(old, fresh) // rotated: no request fails
	if code, which, _ := get(t, s, fresh.Sign(plainClaims(i)), known); code != 200 {
		t.Fatalf("a new key: got %d %s", code, which)
	}
	before := i.Fetches()
	for n := range 19 { // with one more from this address others there would have to wait
		code, which, after := get(t, s, oidcemu.NewKey("ES256", fmt.Sprint("hostile-", n)).Sign(plainClaims(i)), known)
		if code != 401 || which != api.UnknownKey || after == "" || after == "0" {
			t.Fatalf("got %d %s, Retry-After %q", code, which, after)
		}
		if code, which, _ := get(t, s, old.Sign(plainClaims(i)), known); code != 200 {
			t.Fatalf("a caller of a known key: got %d %s", code, which)
		}
	}
	if n := i.Fetches() - before; n > 1 {
		t.Errorf("%d fetches for kids that nobody has", n)
	}
}

// An issuer that is down is asked again soon, and the answer says when.
func TestIssuerThatIsDown(t *testing.T) {
	key := oidcemu.NewKey("ES256", "1")
	i := oidcemu.New(t, key)
	i.SetDown(true)
	s, _ := seeded(t, proxytest.Options{Document: believing(plainRule(i, "web"))})
	code, which, after := get(t, s, key.Sign(plainClaims(i)), known)
	if code != 401 || which != api.UnknownKey || after != "1" {
		t.Errorf("got %d %s, Retry-After %q; want 401 unknown_key, 1", code, which, after)
	}
}

// The keys come with the configuration: nothing has to be fetched before the first read, and a new file is as good as a
// new configuration.
func TestBundledKeysNeedNoNetwork(t *testing.T) {
	key, next := oidcemu.NewKey("ES256", "1"), oidcemu.NewKey("ES256", "2")
	i := oidcemu.New(t)
	i.SetDown(true)
	dir := t.TempDir()
	write(t, dir, "issuer.jwks", string(oidcemu.JWKS(key)))
	doc := believing(plainRule(i, "web", "      jwks: file:issuer.jwks\n"))
	s, _ := seeded(t, proxytest.Options{Dir: dir, Document: doc})
	if code, which, _ := get(t, s, key.Sign(plainClaims(i)), known); code != 200 {
		t.Errorf("got %d %s", code, which)
	}
	if code, which, _ := get(t, s, next.Sign(plainClaims(i)), known); code != 401 || which != api.UnknownKey {
		t.Errorf("a key that is in no file: got %d %s", code, which)
	}
	watched := source(t, dir)
	write(t, dir, "issuer.jwks", string(oidcemu.JWKS(key, next)))
	if !settles(t, watched) {
		t.Error("the file of keys is not watched")
	}
	if err := reload(t, s, doc); err != nil {
		t.Fatal(err)
	}
	if code, which, _ := get(t, s, next.Sign(plainClaims(i)), known); code != 200 {
		t.Errorf("a key that was added: got %d %s", code, which)
	}
}

// A reload replaces the rules at once, also for tokens that were verified a moment ago, and keeps the fetched keys of
// issuers that did not change.
func TestReloadReplacesTrustRules(t *testing.T) {
	key := oidcemu.NewKey("ES256", "1")
	i, other := oidcemu.New(t, key), oidcemu.New(t, key)
	s, own := seeded(t, proxytest.Options{Document: believing(plainRule(i, "web"))})
	token := key.Sign(plainClaims(i))
	want := func(what, token string, code int) {
		t.Helper()
		if got, which, _ := get(t, s, token, known); got != code {
			t.Errorf("%s: got %d %s, want %d", what, got, which, code)
		}
	}
	want("at first", token, 200)
	want("an issuer that no rule names", key.Sign(plainClaims(other)), 401)
	narrow := strings.Replace(plainRule(i, "web"), "prj_1", "prj_2", 1)
	if err := reload(t, s, believing(narrow, plainRule(other, "other"))); err != nil {
		t.Fatal(err)
	}
	want("the rule wants another project", token, 401)
	want("a new rule", key.Sign(plainClaims(other)), 200)
	i.SetDown(true)
	if err := reload(t, s, believing(plainRule(i, "web"))); err != nil {
		t.Fatal(err)
	}
	want("the first rule again, and its issuer is down", token, 200)
	want("a rule that is gone", key.Sign(plainClaims(other)), 401)
	if n := i.Fetches(); n != 1 {
		t.Errorf("%d fetches; want 1", n)
	}
	bad := strings.Replace(plainRule(i, "web"), i.CAFile, filepath.Join(s.Dir, "no-such-file"), 1)
	if err := reload(t, s, believing(bad)); err == nil {
		t.Error("rules with a file that is not there came into force")
	}
	want("a reload that failed", token, 200)
	if err := reload(t, s, proxytest.Document); err != nil {
		t.Fatal(err)
	}
	want("without rules", token, 401)
	want("our own", own, 200)
}

// A bundle that changes brings no key back that the issuer has withdrawn, and is what counts where nothing was fetched.
func TestReloadOfBundledKeys(t *testing.T) {
	withdrawn, current := oidcemu.NewKey("ES256", "1"), oidcemu.NewKey("ES256", "2")
	up, down := oidcemu.New(t, current), oidcemu.New(t)
	down.SetDown(true)
	dir := t.TempDir()
	bundle := filepath.Join(dir, "bundle.jwks")
	put := func(keys ...*oidcemu.Key) {
		t.Helper()
		if err := os.WriteFile(bundle, oidcemu.JWKS(keys...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(withdrawn)
	jwks := "      jwks: file:" + bundle + "\n"
	doc := believing(plainRule(up, "up", jwks), plainRule(down, "down", jwks))
	s, _ := seeded(t, proxytest.Options{Document: doc})
	want := func(what string, i *oidcemu.Issuer, k *oidcemu.Key, code int) {
		t.Helper()
		if got, which, _ := get(t, s, k.Sign(plainClaims(i)), known); got != code {
			t.Errorf("%s: got %d %s, want %d", what, got, which, code)
		}
	}
	want("the issuer's key, which has to be fetched", up, current, 200)
	want("a withdrawn key", up, withdrawn, 401)
	want("a bundled key, while the issuer is down", down, withdrawn, 200)
	put(withdrawn, oidcemu.NewKey("ES256", "3"))
	if err := reload(t, s, doc); err != nil {
		t.Fatal(err)
	}
	want("a withdrawn key after the bundle changed", up, withdrawn, 401)
	put(current)
	if err := reload(t, s, doc); err != nil {
		t.Fatal(err)
	}
	want("a key that left the bundle", down, withdrawn, 401)
	want("one that came into it", down, current, 200)
	want("the issuer's key", up, current, 200)
}

// Rules come and go under load: a token that both sets take is never refused.
func TestReloadOfTrustRulesUnderLoad(t *testing.T) {
	key := oidcemu.NewKey("ES256", "1")
	i, other := oidcemu.New(t, key), oidcemu.New(t, key)
	s, _ := seeded(t, proxytest.Options{Document: believing(plainRule(i, "web"))})
	token := key.Sign(plainClaims(i))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var reads atomic.Int64
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if code, which, _ := get(t, s, token, known); code != 200 {
					t.Errorf("got %d %s", code, which)
					return
				}
				reads.Add(1)
			}
		})
	}
	for n := range 10 {
		doc := believing(plainRule(i, "web"), plainRule(other, "other"))
		if n%2 == 1 {
			doc = believing(plainRule(i, "renamed"))
		}
		if err := reload(t, s, doc); err != nil {
			t.Error(err)
		}
		for at := reads.Load(); reads.Load() < at+10 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	wg.Wait()
}

// A node may take tokens of platforms alone: it has no keys of its own, and signs nothing.
func TestNodeWithoutOwnKeys(t *testing.T) {
	key := oidcemu.NewKey("ES256", "1")
	i := oidcemu.New(t, key)
	doc := believing(plainRule(i, "web", "      audiences: ["+ourAudience+"]\n"))
	for _, line := range []string{"  issuer: https://keyhole.test\n", "  audience: https://keyhole.test\n", "  signing_key: file:keys/signing.pem\n", "  keys: file:keys/jwks.json\n"} {
		doc = strings.Replace(doc, line, "", 1)
	}
	s := proxytest.NewServer(t, proxytest.Options{Document: doc})
	if code, which, _ := get(t, s, key.Sign(plainClaims(i)), known); code != 404 || which != api.NotFound {
		t.Errorf("got %d %s", code, which)
	}
	if code, body := do(t, s, "", http.MethodGet, "/.well-known/jwks.json", ""); code != 200 || strings.TrimSpace(body) != `{"keys":[]}` {
		t.Errorf("got %d %s", code, body)
	}
	signing := strings.Replace(doc, "  trust:\n", "  issuer: https://keyhole.test\n  audience: https://keyhole.test\n  signing_key: file:keys/signing.pem\n  trust:\n", 1)
	if err := reload(t, s, signing); err == nil {
		t.Error("a node that signs does without its own public keys")
	}
}

func TestTrustRulesThatCannotWork(t *testing.T) {
	i := oidcemu.New(t)
	for name, tt := range map[string]struct{ rule, want string }{
		"our own issuer":        {strings.Replace(plainRule(i, "web"), i.URL, "https://keyhole.test", 1), "our own"},
		"no CA":                 {strings.Replace(plainRule(i, "web"), i.CAFile, devdir.ConfigFile, 1), "certificate"},
		"no keys in the bundle": {plainRule(i, "web", "      jwks: file:"+devdir.ConfigFile+"\n"), "key set"},
		"client without keys":   {"    - {name: app, template: key, with: {client_id: app}, map: {scope: [\"read:web/*\"]}}\n", "jwks"},
	} {
		dir := t.TempDir()
		proxytest.WriteDocument(t, dir, believing(tt.rule))
		c, err := full.Drivers().Load(filepath.Join(dir, devdir.ConfigFile), nil)
		if err == nil {
			var a *app.App
			if a, err = app.New(t.Context(), c, full.Drivers(), app.Options{}); err == nil {
				err = errors.Join(a.Close(), errors.New("it was built"))
			}
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v; want it to say %q", name, err, tt.want)
		}
	}
}

// Whoever is refused learns nothing about the rules; the log does, at level debug, and neither holds the token.
func TestRefusalOfAPlatformTokenTellsTheLogAlone(t *testing.T) {
	key := oidcemu.NewKey("ES256", "1")
	i := oidcemu.New(t, key)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, _ := seeded(t, proxytest.Options{Document: believing(plainRule(i, "web")), Logger: logger})
	claims := plainClaims(i)
	claims["aud"] = "https://elsewhere.example"
	token := key.Sign(claims)
	code, body := do(t, s, token, http.MethodGet, known, "")
	if code != 401 || strings.Contains(body, "aud") || strings.Contains(body, "web") {
		t.Errorf("got %d %s", code, body)
	}
	if !strings.Contains(log.String(), "rule web, check aud") || strings.Contains(log.String(), token[len(token)-80:]) {
		t.Errorf("the log says %s", log.String())
	}
	records, err := os.ReadFile(filepath.Join(s.Dir, "audit", "audit.jsonl"))
	if err != nil || bytes.Contains(records, []byte(token[len(token)-80:])) {
		t.Errorf("the token is in the audit log (%v)", err)
	}
}
