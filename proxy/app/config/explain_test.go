package config_test

import (
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/yamlconf"
)

func explained(t *testing.T, text string, environ ...string) map[string]config.Setting {
	t.Helper()
	doc, err := yamlconf.Read("keyhole.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.ApplyEnv(environ); err != nil {
		t.Fatal(err)
	}
	c, err := doc.Decode()
	if err != nil {
		t.Fatal(err)
	}
	all, err := doc.Explain(c)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]config.Setting{}
	for _, s := range all {
		if _, twice := out[s.Key]; twice {
			t.Errorf("%s is told twice", s.Key)
		}
		out[s.Key] = s
	}
	return out
}

// Each value comes from where it was written, or from the default.
func TestExplainOrigins(t *testing.T) {
	got := explained(t, base+`listen: {native: "127.0.0.1:1234"}
cache: {entries: 7}
mounts: [{path: "", upstream: local, labels: {owner: web}}]
upstreams: {local: {type: embedded, path: v.db, key: "file:keys/master.key"}}
`, "KEYHOLE__LOG__LEVEL=debug", "KEYHOLE__CACHE__BYTES=1MiB")
	for _, want := range []config.Setting{
		{Key: "version", Value: "1", Origin: "keyhole.yaml:1:10"},
		{Key: "listen.native.address", Value: "127.0.0.1:1234", Origin: "keyhole.yaml:5:18"},
		{Key: "listen.admin", Value: "127.0.0.1:8641", Origin: "default"},
		{Key: "cache.entries", Value: "7", Origin: "keyhole.yaml:6:18"},
		{Key: "cache.bytes", Value: "1MiB", Origin: "KEYHOLE__CACHE__BYTES"},
		{Key: "cache.second_level.enabled", Value: "false", Origin: "default"},
		{Key: "log.level", Value: "debug", Origin: "KEYHOLE__LOG__LEVEL"},
		{Key: "state.path", Value: "state.db", Origin: "default"},
		{Key: "audit.sinks[0].keep", Value: "30", Origin: "default"},
		{Key: "mounts[0].cache.soft_ttl", Value: "1m", Origin: "default"},
		{Key: "mounts[0].labels.owner", Value: "web", Origin: "keyhole.yaml:7:54"},
		{Key: "upstreams.local.key", Value: "file:keys/master.key", Origin: "keyhole.yaml:8:54"},
	} {
		if got[want.Key] != want {
			t.Errorf("got %+v, want %+v", got[want.Key], want)
		}
	}
	if _, ok := got["identity.trust"]; ok {
		t.Error("a key that has no value is told")
	}
	if port := explained(t, base, "PORT=9000")["listen.native.address"]; port.Origin != "PORT" || port.Value != "0.0.0.0:9000" {
		t.Errorf("PORT: got %+v", port)
	}
}

// What may be secret is not shown.
func TestExplainShowsNoSecrets(t *testing.T) {
	got := explained(t, base+`policy:
  chain: [{bundle: "builtin:scope", data: {password: canary}}]
mounts: [{path: "", upstream: local, labels: {api_token: canary, owner: web}}]
upstreams: {local: {type: embedded, path: v.db, key: "env:MASTER"}}
`)
	for _, s := range got {
		if strings.Contains(s.Value, "canary") {
			t.Errorf("%s shows %q", s.Key, s.Value)
		}
	}
	if s := got["upstreams.local.key"]; s.Value != "env:MASTER" {
		t.Errorf("a reference: got %q", s.Value)
	}
	if s := got["policy.chain[0].data"]; s.Value == "" {
		t.Error("data is not told at all")
	}
}

// Every document is explained whole: as many values as its rendered form has.
func TestExplainIsComplete(t *testing.T) {
	for _, name := range []string{"full.yaml", "every.yaml"} {
		text := string(readFile(t, name))
		rendered, err := config.Render(mustDecode(t, text))
		if err != nil {
			t.Fatal(err)
		}
		root, err := strictjson.Parse(rendered, strictjson.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(explained(t, text)), leaves(root); got != want || want < 60 {
			t.Errorf("%s: got %d values, want %d", name, got, want)
		}
	}
}

// leaves counts values; the data of a policy is one, and an object without any, such as a listener that is off, is none.
func leaves(n *strictjson.Node) int {
	if n.Kind != strictjson.Object && len(n.Elems) == 0 {
		return 1
	}
	count := 0
	for i := range n.Elems {
		count += leaves(&n.Elems[i])
	}
	for i := range n.Members {
		if m := &n.Members[i]; m.Name == "data" {
			count++
		} else {
			count += leaves(&m.Value)
		}
	}
	return count
}
