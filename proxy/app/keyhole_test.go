package app_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/edge"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

const (
	regionDocument = `version: 1
region: region-1
identity:
  issuer: https://region.test
  audience: https://region.test
  signing_key: file:keys/signing.pem
  keys: file:keys/jwks.json
  trust:
    - {name: worker, template: key, with: {client_id: worker}, jwks: "file:keys/worker.jwks.json", map: {scope: ["read:web/**", "list:web/**"]}}
    - name: role
      template: aws
      with: {issuer: "https://0b1c2d3e.tokens.sts.global.api.aws", account: "123456789012", role: "arn:aws:iam::123456789012:role/function"}
      jwks: file:keys/aws.jwks.json
      map: {scope: ["read:web/**"]}
upstreams:
  local: {type: embedded, path: vault.db, key: "file:keys/master.key"}
mounts:
  - {path: "", upstream: local, cache: {soft_ttl: 10s, hard_ttl: 20s, stale_if_error: 1h}}
state: {type: memory}
audit: {key: "file:keys/audit.key", sinks: [{type: file, path: audit.jsonl}]}
`
	edgeDocument = `version: 1
region: edge-1
identity: {issuer: "https://edge.test", audience: "https://edge.test", signing_key: "file:keys/signing.pem", keys: "file:keys/jwks.json"}
upstreams:
  by-key: {type: keyhole, address: ADDRESS, auth: {method: key, key: "file:keys/worker.key", audience: "https://region.test"}}
  by-token: {type: keyhole, address: ADDRESS, auth: {method: token, token: "env:REGION_TOKEN"}}
  by-aws: {type: keyhole, address: ADDRESS, auth: {method: aws, audience: "https://region.test", region: eu-west-1}}
mounts:
  - {path: "", upstream: by-key, cache: {soft_ttl: 10s, hard_ttl: 20s, stale_if_error: 30m}}
  - {path: sealed, upstream: by-key, at: web, labels: {classification: restricted}, cache: {soft_ttl: 10s, hard_ttl: 20s}}
  - {path: token, upstream: by-token, at: web}
  - {path: aws, upstream: by-aws, at: web}
  - {path: env, upstream: by-key, at: web/env, layout: fields}
state: {type: memory}
audit: {key: "file:keys/audit.key", sinks: [{type: file, path: audit.jsonl}]}
`
)

// unsteady is a vault that fails while it is down.
type unsteady struct {
	*embedded.Vault
	down *atomic.Bool
}

func (u unsteady) Read(ctx context.Context, name string, v secret.Version) (*secret.Secret, error) {
	if u.down.Load() {
		return nil, secret.ErrUnavailable
	}
	return u.Vault.Read(ctx, name, v)
}

// chain is an edge before a region. Their clocks are the test's.
type chain struct {
	region, edge *proxytest.Server
	down         atomic.Bool // the region answers nothing
	vaultDown    atomic.Bool // its vault does not
	start        time.Time
	passed       atomic.Int64
}

func newChain(t *testing.T) *chain {
	t.Helper()
	c := &chain{start: time.Now()}
	key, err := identity.NewClientKey("worker")
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Private()
	if err != nil {
		t.Fatal(err)
	}
	signs := oidcemu.NewKey("ES384", "k1")
	emu, aws := awsemu.Start(t)
	emu.Federate(awsemu.Federation{Issuer: "https://0b1c2d3e.tokens.sts.global.api.aws", Key: signs, Role: "arn:aws:iam::123456789012:role/function"})
	emu.SetWall(c.wall)
	far, near := t.TempDir(), t.TempDir()
	for name, text := range map[string][]byte{
		filepath.Join(far, "keys/worker.jwks.json"): []byte(`{"keys":[` + string(public) + `]}`),
		filepath.Join(far, "keys/aws.jwks.json"):    oidcemu.JWKS(signs),
		filepath.Join(near, "keys/worker.key"):      private,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.region = proxytest.NewServer(t, proxytest.Options{Dir: far, Document: regionDocument, Wall: c.wall, Mono: c.mono, Drivers: func(d app.Drivers) app.Drivers {
		open := d.Upstreams["embedded"]
		d.Upstreams["embedded"] = func(e app.Env, u config.Upstream) (secret.Upstream, error) {
			up, err := open(e, u)
			if err != nil {
				return nil, err
			}
			return unsteady{up.(*embedded.Vault), &c.vaultDown}, nil
		}
		return d
	}})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		c.region.App.Native.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	t.Setenv("REGION_TOKEN", proxytest.Issuer(c.region.Config)(t, map[string]string{"scope": "read:web/**"}))
	t.Setenv("AWS_ACCESS_KEY_ID", awsemu.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", awsemu.SecretKey)
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_ENDPOINT_URL_STS", aws)
	c.edge = proxytest.NewServer(t, proxytest.Options{
		Dir: near, Document: strings.ReplaceAll(edgeDocument, "ADDRESS", front.URL), Wall: c.wall, Mono: c.mono,
		Drivers: func(d app.Drivers) app.Drivers {
			d.Upstreams["keyhole"] = edge.Drivers().Upstreams["keyhole"] // as the functions link it
			return d
		},
	})
	return c
}

func (c *chain) wall() time.Time     { return c.start.Add(time.Duration(c.passed.Load())) }
func (c *chain) mono() time.Duration { return time.Duration(c.passed.Load()) }

// got is an answer of a native API.
type got struct {
	status             int
	code, value, cache string
	age                time.Duration
}

func call(t *testing.T, s *proxytest.Server, method, path, body string) got {
	t.Helper()
	token := proxytest.Issuer(s.Config)(t, map[string]string{"scope": "read:** list:** write:** revoke:** invalidate:**", "ttl": "1h"})
	req, err := http.NewRequestWithContext(t.Context(), method, "http://in-process.invalid"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.App.InProcess().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var a struct {
		Data  json.RawMessage
		Error struct{ Code string }
		Meta  struct {
			AgeMS int64 `json:"age_ms"`
		}
	}
	var data struct{ Value string }
	if resp.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		_ = json.Unmarshal(a.Data, &data) // or it is a list
	}
	return got{resp.StatusCode, a.Error.Code, data.Value, resp.Header.Get("X-Keyhole-Cache"), time.Duration(a.Meta.AgeMS) * time.Millisecond}
}

func (c *chain) put(t *testing.T, path, body string) {
	t.Helper()
	if g := call(t, c.region, http.MethodPut, "/v1/secrets/"+path, body); g.status/100 != 2 {
		t.Fatalf("storing %s: %+v", path, g)
	}
}

func (c *chain) read(t *testing.T, path string) got {
	t.Helper()
	return call(t, c.edge, http.MethodGet, "/v1/secrets/"+path, "")
}

// An edge reads its region's secrets with each of the logins, and passes on what that says.
func TestKeyholeBehindKeyhole(t *testing.T) {
	c := newChain(t)
	c.put(t, "web/a", `{"value":"v"}`)
	c.put(t, "web/env", `{"fields":{"A":"1","B":"2"}}`)
	c.put(t, "api/a", `{"value":"v"}`)
	for path, want := range map[string]got{
		"web/a": {200, "", "v", "miss", 0}, "sealed/a": {200, "", "v", "miss", 0}, "token/a": {200, "", "v", "miss", 0}, "aws/a": {200, "", "v", "miss", 0},
		"env/A":    {200, "", "1", "miss", 0},
		"web/none": {404, "not_found", "", "", 0}, "aws/none": {404, "not_found", "", "", 0},
		"api/a": {502, "upstream_error", "", "", 0}, // the region refuses the edge, not the caller
	} {
		if g := c.read(t, path); g != want {
			t.Errorf("%s: got %+v, want %+v", path, g, want)
		}
	}
	if g := call(t, c.edge, http.MethodGet, "/v1/secrets?prefix=web", ""); g.status != 200 {
		t.Errorf("listing: got %+v", g)
	}
	if g := call(t, c.edge, http.MethodGet, "/v1/secrets/web/a:versions", ""); g.status != 200 {
		t.Errorf("versions: got %+v", g)
	}
	if g := call(t, c.edge, http.MethodPut, "/v1/secrets/web/a", `{"value":"w"}`); g.status != 405 {
		t.Errorf("writing: got %+v", g)
	}
}

// No value is younger at the edge than in the region, and none outlives its bound at the edge by way of the region.
func TestAgeThroughAChain(t *testing.T) {
	c := newChain(t)
	c.put(t, "web/a", `{"value":"v"}`)
	if g := call(t, c.region, http.MethodGet, "/v1/secrets/web/a", ""); g.status != 200 {
		t.Fatal(g)
	}
	pass := func(d time.Duration) { c.passed.Add(int64(d)) }
	pass(5 * time.Second)
	if g, want := c.read(t, "web/a"), (got{200, "", "v", "miss", 5 * time.Second}); g != want {
		t.Errorf("first: got %+v, want %+v", g, want)
	}
	c.vaultDown.Store(true)
	pass(5 * time.Minute)
	aged := 5*time.Minute + 5*time.Second
	if g, want := c.read(t, "web/a"), (got{200, "", "v", "stale", aged}); g != want {
		t.Errorf("while the region serves stale: got %+v, want %+v", g, want)
	}
	if g := c.read(t, "sealed/a"); g.status != 502 || g.value != "" {
		t.Errorf("a restricted secret that is stale in the region: got %+v", g)
	}
	c.down.Store(true)
	pass(time.Minute)
	if g, want := c.read(t, "web/a"), (got{200, "", "v", "stale", aged + time.Minute}); g != want {
		t.Errorf("without the region: got %+v, want %+v", g, want)
	}
	pass(30*time.Minute - aged - time.Minute)
	if g := c.read(t, "web/a"); g.status != 502 || g.value != "" {
		t.Errorf("past the bound: got %+v", g)
	}
	c.down.Store(false)
	c.vaultDown.Store(false)
	pass(time.Minute)
	if g, want := c.read(t, "web/a"), (got{200, "", "v", "miss", 0}); g != want {
		t.Errorf("healed: got %+v, want %+v", g, want)
	}
}

// What the region revokes is refused at the edge when it asks the region next: after its soft TTL at the latest by the
// second read, and after its hard TTL by the first.
func TestRevocationThroughAChain(t *testing.T) {
	c := newChain(t)
	c.put(t, "web/a", `{"value":"v"}`)
	if g := c.read(t, "web/a"); g.status != 200 {
		t.Fatal(g)
	}
	if g := call(t, c.region, http.MethodPost, "/v1/revocations", `{"secret":"web/a","reason":"leaked"}`); g.status/100 != 2 {
		t.Fatal(g)
	}
	c.passed.Add(int64(20 * time.Second))
	if g := c.read(t, "web/a"); g.status == 200 {
		t.Errorf("past hard: got %+v", g)
	}
	c.down.Store(true) // it does not come back as a stale one
	if g := c.read(t, "web/a"); g.status == 200 {
		t.Errorf("and the region gone: got %+v", g)
	}
}
