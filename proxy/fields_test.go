package proxy_test

import (
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// A vault without fields keeps an environment as the text of a JSON object.
func TestFieldsOfAJSONValue(t *testing.T) {
	up := &book{names: []string{"a/DB", "a/PLAIN"}, secrets: map[string]*secret.Secret{
		"a/DB":    text(`{"user":"app","password":"` + canary + `","port":5432.0,"tls":{"on":true, "ca":[1,null]},"User":"other"}`),
		"a/PLAIN": text(canary),
	}}
	h := newHarness(t, mounted(t, up, func(m *proxy.Mount) { m.Layout = proxy.Fields }))
	c := h.call(t, "read:one/** list:one/**")
	for path, want := range map[string]string{
		"one/DB/password": canary, "one/DB/user": "app", "one/DB/User": "other", "one/DB/port": "5432.0", "one/DB/tls": `{"on":true,"ca":[1,null]}`,
	} {
		if v, code := h.read(t, c, path); v != want {
			t.Errorf("%s: got %q %q, want %q", path, v, code, want)
		}
	}
	if _, code := h.read(t, c, "one/DB/nobody"); code != api.NotFound {
		t.Errorf("a field that is not there: got %q, want not_found", code)
	}
	for _, bad := range []string{canary, `["` + canary + `"]`, `{"a":"` + canary + `"`, `{"a":1,"a":2}`, `{"a\n":"` + canary + `"}`, ""} {
		up.mu.Lock()
		up.secrets["a/PLAIN"] = text(bad)
		up.mu.Unlock()
		if _, code := h.read(t, c, "one/PLAIN/a"); code != api.UpstreamError {
			t.Errorf("a field of %q: got %q, want upstream_error", bad, code)
		}
	}
	h.cache.Flush()
	if !up.wiped() {
		t.Error("what the upstream gave is still in memory")
	}
	got, code := h.list(t, c, proxy.ListRequest{})
	if want := 5; code != "" || len(got) != want {
		t.Errorf("got %q %q, want the %d fields of the one object that has them", got, code, want)
	}
}

// Text that was broken by hand does not purge the good value of a field.
func TestBrokenFieldsAreServedStale(t *testing.T) {
	up := &book{secrets: map[string]*secret.Secret{"a/DB": text(`{"password":"` + canary + `"}`)}}
	h := newHarness(t, mounted(t, up, func(m *proxy.Mount) { m.Layout, m.TTL.Stale = proxy.Fields, time.Hour }))
	c := h.call(t, "read:one/**")
	if v, code := h.read(t, c, "one/DB/password"); v != canary {
		t.Fatalf("got %q", code)
	}
	up.mu.Lock()
	up.secrets["a/DB"] = text(`{"password":`)
	up.mu.Unlock()
	h.clock.pass(10*time.Minute, 10*time.Minute)
	if v, code := h.read(t, c, "one/DB/password"); v != canary {
		t.Errorf("got %q, want the last good value", code)
	}
}
