package proxy_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// What is not released to the caller is given back, so that it is wiped when it leaves the cache.
func TestWhatIsNotReleasedIsGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		field string
		fail  error
		want  api.Code
	}{
		"no record":        {"", errors.New("disk full"), api.AuditUnavailable},
		"field, no record": {"user", errors.New("disk full"), api.AuditUnavailable},
		"no such field":    {"nobody", nil, api.NotFound},
	} {
		up := &book{secrets: map[string]*secret.Secret{"a/KEY": fields("user", canary)}}
		h := newHarness(t, mounted(t, up))
		caller := h.call(t, "read:one/*")
		h.sink.Fail(c.fail, 0)
		a, err := h.Read(t.Context(), caller, proxy.ReadRequest{Path: path(t, "one/KEY"), Field: c.field})
		if err == nil || codeOf(t, err) != c.want || a.Value.Len() > 0 || a.Fields != nil {
			t.Errorf("%s: got %v, want %s and nothing else", name, err, c.want)
		}
		if up.wiped() {
			t.Fatalf("%s: the cache keeps nothing, so that this test tells nothing", name)
		}
		h.cache.Flush()
		if !up.wiped() {
			t.Errorf("%s: the value outlives its entry", name)
		}
		h.sink.Fail(nil, 0)
	}
}

// An object of fields is kept as one value, which is wiped as one.
func TestAnObjectIsWipedAsOne(t *testing.T) {
	up := &book{secrets: map[string]*secret.Secret{"a/DB": fields("password", canary, "user", "app")}}
	h := newHarness(t, mounted(t, up, func(m *proxy.Mount) { m.Layout = proxy.Fields }))
	c := h.call(t, "read:one/**")
	if v, code := h.read(t, c, "one/DB/password"); v != canary {
		t.Errorf("got %q, want the field", code)
	}
	if _, code := h.read(t, c, "one/DB/nobody"); code != api.NotFound {
		t.Errorf("got %q, want not_found", code)
	}
	if up.reads() != 1 || up.wiped() {
		t.Errorf("%d reads, and wiped is %v; want one that is still held", up.reads(), up.wiped())
	}
	h.cache.Flush()
	if !up.wiped() {
		t.Error("what the upstream gave is still in memory")
	}
}

// The record has the MAC of what left, and neither MAC nor size where the caller had it already.
func TestRecordsOfWhatLeft(t *testing.T) {
	up := &book{secrets: map[string]*secret.Secret{"a/KEY": text(canary), "a/DB": fields("password", canary, "user", "app")}}
	h := newHarness(t, mounted(t, up))
	c := h.call(t, "read:one/*")
	for _, row := range []struct {
		path, field string
		unchanged   bool
		want        string
	}{
		{"one/KEY", "", false, fmt.Sprintf(`{"status":200,"bytes":15,"value_mac":"%x"}`, h.log.SecretMAC(text(canary)))},
		{"one/KEY", "", true, `{"status":304}`},
		{"one/DB", "", false, fmt.Sprintf(`{"status":200,"bytes":30,"value_mac":"%x"}`, h.log.SecretMAC(up.secrets["a/DB"]))},
		{"one/DB", "user", false, fmt.Sprintf(`{"status":200,"bytes":3,"value_mac":"%x"}`, h.log.SecretMAC(text("app")))},
		{"one/DB", "user", true, `{"status":304}`},
	} {
		asked := ""
		a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, row.path), Field: row.field, Unchanged: func(tag string) bool {
			asked = tag
			return row.unchanged
		}})
		must(t, err)
		a.Release()
		if a.Unchanged != row.unchanged || asked != a.ETag || asked == "" {
			t.Errorf("%s %s: got unchanged %t after asking about %q", row.path, row.field, a.Unchanged, asked)
		}
		if n := h.records(`"id":"`+a.Decision+`"`, `"version":"1"`, `"result":`+row.want); n != 1 {
			t.Errorf("%s %s: no record of %s in\n%s", row.path, row.field, row.want, h.sink.Text())
		}
	}
}

// Where a version's name may come again, the entity tag tells the two apart by their times.
func TestEntityTags(t *testing.T) {
	one := text(canary)
	one.CreatedAt = one.CreatedAt.AddDate(2026, 0, 0)
	b := &book{secrets: map[string]*secret.Secret{"a/KEY": one}}
	for _, c := range []struct {
		up   secret.Upstream
		want string
	}{
		{b, fmt.Sprintf(`"1-%d"`, one.CreatedAt.UnixMilli())},
		{uniqueBook{b}, `"1"`},
	} {
		h := newHarness(t, mounted(t, c.up))
		a, err := h.Read(t.Context(), h.call(t, "read:one/*"), proxy.ReadRequest{Path: path(t, "one/KEY")})
		must(t, err)
		a.Release()
		if a.ETag != c.want {
			t.Errorf("got %s, want %s", a.ETag, c.want)
		}
	}
}

// One path and one object name may mean two upstreams to two generations of mounts, which share a cache.
func TestTheCacheOutlivesTheMounts(t *testing.T) {
	ttl := cache.TTL{Soft: 1e9, Hard: 300e9}
	old, young := &book{secrets: map[string]*secret.Secret{"a/KEY": text("old")}}, &book{secrets: map[string]*secret.Secret{"a/KEY": text("young")}}
	var config proxy.Config
	h := newHarness(t, func(c *proxy.Config) {
		c.Mounts = []proxy.Mount{{Upstream: old, UpstreamName: "old", TTL: ttl}}
		config = *c
	})
	c := h.call(t, "read:a/*")
	if v, code := h.read(t, c, "a/KEY"); v != "old" {
		t.Fatalf("got %q %q", v, code)
	}
	config.Mounts = []proxy.Mount{{Path: path(t, "a"), Upstream: young, UpstreamName: "young", At: "a", TTL: ttl}}
	p, err := proxy.New(config)
	must(t, err)
	must(t, p.Start(t.Context()))
	h.Proxy = p
	if v, code := h.read(t, c, "a/KEY"); v != "young" {
		t.Errorf("got %q %q, want what the mount of now names", v, code)
	}
}
