package config_test

import (
	"bytes"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func ref(s string) config.Ref {
	r, err := config.ParseRef(s, "file", "env", "kms", "builtin")
	if err != nil {
		panic(err)
	}
	return r
}

func private(s string) config.Ref {
	r := ref(s)
	r.Private = true
	return r
}

func path(t *testing.T, s string) secret.Path {
	p, err := secret.ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// defaults is what base means.
func defaults() *config.Config {
	return &config.Config{
		Version: 1,
		Listen:  config.Listen{Native: config.Listener{Address: "127.0.0.1:8640"}, Admin: "127.0.0.1:8641"},
		Identity: config.Identity{
			MaxTTL: time.Hour,
		},
		Policy: config.Policy{Chain: []config.PolicyRef{{Bundle: ref("builtin:scope")}}, Isolation: "pooled"},
		Cache:  config.Cache{Entries: 10000, Bytes: 64 << 20},
		State:  config.State{Type: "file", Check: time.Second, MaxBlind: 30 * time.Second, File: &config.StateFile{Path: "state.db"}},
		Audit: config.Audit{Durability: "process", Key: private("file:keys/audit.key"), Sinks: []config.Sink{{
			Type: "file", Required: true, File: &config.SinkFile{Path: "audit.jsonl", Rotate: 100 << 20, Keep: 30},
		}}},
		Limits:    config.Limits{MaxInFlight: 1024},
		Log:       config.Log{Level: "info", Format: "json"},
		Telemetry: config.Telemetry{Prometheus: true},
		Dir:       ".",
	}
}

func TestDefaults(t *testing.T) {
	if got, want := mustDecode(t, base), defaults(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestFullDocument(t *testing.T) {
	pattern, err := secret.ParseConfigPattern("**/STRIPE_*")
	if err != nil {
		t.Fatal(err)
	}
	limits := config.UpstreamLimits{Concurrency: 32, Rate: 100}
	want := defaults()
	want.Dir = "/etc/keyhole"
	want.Region = "eu-west-1"
	want.Listen.TrustedProxies = []netip.Prefix{}
	want.Identity = config.Identity{
		Issuer: "https://keyhole.example", Audience: "https://keyhole.example",
		SigningKey: private("file:keys/signing.pem"), Keys: ref("file:keys/jwks.json"), MaxTTL: time.Hour,
		Trust: []config.TrustRule{{
			Name: "vercel-web", Template: "vercel",
			With: map[string]config.Strings{"team": {"acme"}, "owner_id": {"team_123"}, "project_id": {"prj_456"}, "environments": {"production"}},
			Map:  config.TrustMap{Base: "web/{environment}", Scope: []string{"read:web/{environment}/*"}, Labels: map[string]string{"team": "payments"}},
		}, {
			Name: "ci", Issuer: "https://token.actions.githubusercontent.com", Algs: []string{"RS256"},
			Audiences: []string{"https://keyhole.example"},
			Require:   map[string][]string{"repository_id": {"456789"}, "environment": {"production"}},
			Map:       config.TrustMap{Base: "web/production", Scope: []string{"read:web/production/DEPLOY_*"}},
		}},
	}
	want.Upstreams = map[string]config.Upstream{
		"local": {Type: "embedded", Embedded: &config.Embedded{Path: "vault.db", Key: private("file:keys/master.key")}},
		"bao": {Type: "vault", Vault: &config.Vault{
			Address: "https://bao.internal:8200", KV: config.KV{Mount: "secret", Version: 2},
			Auth: config.VaultAuth{Method: "approle", AppRole: &config.AppRole{Mount: "approle", RoleID: ref("env:ROLE_ID"), SecretID: private("file:secret-id")}},
			TLS:  config.VaultTLS{CA: ref("file:ca.pem")}, Limits: limits, Poll: config.Poll{MaxPaths: 100},
		}},
		"aws": {Type: "secretsmanager", AWS: &config.AWS{Region: "eu-west-1", Timeout: 4 * time.Second, Limits: limits}},
		"ssm": {Type: "parameterstore", AWS: &config.AWS{Region: "eu-west-1", Timeout: 4 * time.Second, Limits: limits}},
	}
	want.Mounts = []config.Mount{{
		Path: path(t, "web/production"), Upstream: "bao", At: "apps/web/production", Layout: "objects", Freshness: "bounded",
		Labels: map[string]string{"environment": "production", "owner": "payments", "classification": "restricted"},
		Cache:  config.MountCache{SoftTTL: time.Minute, HardTTL: 5 * time.Minute, NegativeTTL: 10 * time.Second},
	}}
	want.Labels = []config.LabelRule{{Match: pattern, Set: map[string]string{"classification": "restricted"}}}
	want.Policy.Chain = []config.PolicyRef{
		{Bundle: ref("builtin:scope")},
		{Bundle: ref("file:policies/web.bundle"), Verify: ref("file:policies/signing.pub"), Data: config.JSON("{}")},
		{Bundle: ref("file:policies/dev.wasm"), Unsigned: true},
	}
	want.Cache.SecondLevel.Key = private("file:keys/l2.key")
	want.Audit.Sinks[0].File.Path = "audit/audit.jsonl"

	got, err := decode("/etc/keyhole/keyhole.yaml", string(readFile(t, "full.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestJSONIsTheSame: full.json is what `keyhole config render` makes of full.yaml, and every.json of every.yaml.
func TestJSONIsTheSame(t *testing.T) {
	for _, name := range []string{"full", "every"} {
		t.Run(name, func(t *testing.T) {
			want := mustDecode(t, string(readFile(t, name+".yaml")))
			text := readFile(t, name+".json")
			doc, err := config.ReadJSON("keyhole.json", text)
			if err != nil {
				t.Fatal(err)
			}
			if got := append(doc.Render(), '\n'); !bytes.Equal(got, text) {
				t.Errorf("Render of canonical JSON changes it:\ngot  %s\nwant %s", got, text)
			}
			got, err := doc.Decode()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestEveryDocument(t *testing.T) {
	c := mustDecode(t, string(readFile(t, "every.yaml")))
	l := c.Listen
	if l.Native.Address != "0.0.0.0:443" || l.Native.TLS == nil || l.Native.TLS.Key != private("file:/run/tls/key.pem") || l.Native.TLS.ClientCA != ref("env:CLIENT_CA") {
		t.Errorf("listen.native: got %+v", l.Native)
	}
	if l.AWS != (config.AWSListener{Address: "localhost:2773", Secrets: path(t, "sm"), Parameters: path(t, "ssm")}) || l.Vault.Address != ":8200" {
		t.Errorf("listen: got aws %v, vault %q", l.AWS, l.Vault.Address)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}; !slices.Equal(l.TrustedProxies, want) {
		t.Errorf("trusted_proxies: got %v", l.TrustedProxies)
	}
	if got, want := c.Identity.Trust[0].With, (map[string]config.Strings{"issuer": {"https://k8s.example"}, "namespace": {"apps"}, "service_account": {"web"}, "uid": {"a", "b"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("with: got %v, want %v", got, want)
	}
	if got, want := c.Identity.Trust[1].With, (map[string]config.Strings{"project_id": {"20"}, "ref_protected": {"true"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("with: got %v, want %v", got, want)
	}
	if r := c.Identity.Trust[0]; r.JWKS != ref("file:keys/cluster.json") || r.CA != ref("file:tls/cluster.pem") || !r.AllowPrivate {
		t.Errorf("the keys of an issuer: got %+v", r)
	}
	if m := c.Mounts[0]; !m.Path.IsZero() || m.At != "" || m.Cache.StaleIfError != time.Hour || m.AssumeRole.ExternalID != "e1" {
		t.Errorf("the root mount: got %+v", m)
	}
	if l := c.Upstreams["local"].Embedded.Limits; l == nil || *l != (config.UpstreamLimits{Concurrency: 32, Rate: 5}) {
		t.Errorf("limits of the embedded vault: got %+v", l)
	}
	for name, want := range map[string]config.VaultAuth{
		"file":     {Method: "token", Token: &config.VaultToken{Token: private("file:token")}},
		"role":     {Method: "approle", AppRole: &config.AppRole{Mount: "edge/approle", RoleID: ref("env:ROLE_ID"), SecretID: private("file:secret-id"), Inline: true}},
		"workload": {Method: "jwt", JWT: &config.VaultJWT{Mount: "oidc", Role: "edge", JWT: ref("file:token.jwt"), Inline: true}},
		"cluster": {Method: "kubernetes", Kubernetes: &config.VaultKubernetes{
			Mount: "kubernetes", Role: "edge", JWT: ref("file:/var/run/secrets/kubernetes.io/serviceaccount/token"), Inline: true,
		}},
	} {
		if got := c.Upstreams[name].Vault.Auth; !reflect.DeepEqual(got, want) {
			t.Errorf("auth of %s: got %+v, want %+v", name, got, want)
		}
	}
	if v := c.Upstreams["file"].Vault; v.Namespace != "team/a" || v.KV != (config.KV{Mount: "kv/apps", Version: 1}) || v.TLS.Key != private("file:client.key") {
		t.Errorf("the vault with a token: got %+v", v)
	}
	if got := c.Mounts[1].Cache.StaleIfError; got != 0 {
		t.Errorf("stale_if_error of a restricted mount that does not set it: got %v, want 0", got)
	}
	if got, want := string(c.Policy.Chain[0].Data), `{"a":true,"z":[1,2.50,null,{"k":"ü\n"}]}`; got != want {
		t.Errorf("data: got %s, want %s", got, want)
	}
	if c.Cache.SecondLevel.Key != private("kms:alias/keyhole") || c.State.File != nil || c.State.MaxBlind != 0 || c.State.Check != 250*time.Millisecond {
		t.Errorf("got cache %+v, state %+v", c.Cache, c.State)
	}
	if s := c.Audit.Sinks; s[0].File != nil || s[0].Required || !s[1].Required {
		t.Errorf("sinks: got %+v", s)
	}
	if c.Telemetry.Prometheus || c.Limits.PerPrincipal != 10 || c.Log.Format != "text" {
		t.Errorf("got %+v %+v %+v", c.Telemetry, c.Limits, c.Log)
	}
	if got, want := c.Abs("a/b"), "a/b"; got != want {
		t.Errorf("Abs: got %q, want %q", got, want)
	}
}

// TestEveryKey: each key is documented and stands in one of the two documents, so that the tests above have read it.
func TestEveryKey(t *testing.T) {
	used := map[string]bool{}
	for _, name := range []string{"full.json", "every.json"} {
		root, err := strictjson.Parse(readFile(t, name), strictjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		collect(used, "", root)
	}
	keys := config.Keys()
	if len(keys) < 100 {
		t.Errorf("Keys lists %d keys only", len(keys))
	}
	for _, k := range keys {
		if !used[k.Path] {
			t.Errorf("%s is in no document", k.Path)
		}
		if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") || k.Type == "" {
			t.Errorf("%s has no documentation: %+v", k.Path, k)
		}
	}
}

// collect writes keys as Keys does; names that documents choose become "*" in addition.
func collect(used map[string]bool, at string, n *strictjson.Node) {
	used[at] = true
	for i := range n.Elems {
		collect(used, at+"[]", &n.Elems[i])
	}
	for i := range n.Members {
		collect(used, strings.TrimPrefix(at+"."+n.Members[i].Name, "."), &n.Members[i].Value)
		collect(used, at+".*", &n.Members[i].Value)
	}
}
