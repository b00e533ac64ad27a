package proxy_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// lenient lets every mount serve stale values for an hour and remember absences for ten seconds.
func lenient(c *proxy.Config) {
	for i := range c.Mounts {
		c.Mounts[i].TTL.Stale, c.Mounts[i].TTL.Negative = time.Hour, 10*time.Second
	}
}

// broken makes the upstream fail, and what is cached older than its hard TTL.
func (h *harness) broken(err error) {
	h.vault.mu.Lock()
	h.vault.fail = err
	h.vault.mu.Unlock()
	h.clock.pass(6*time.Minute, 6*time.Minute)
}

func (h *harness) mended() {
	h.vault.mu.Lock()
	defer h.vault.mu.Unlock()
	h.vault.fail = nil
}

func TestStaleIsMarkedAndRecorded(t *testing.T) {
	h := newHarness(t, lenient)
	c := h.call(t, "read:one/*")
	h.read(t, c, "one/KEY")
	h.broken(secret.ErrUnavailable)
	a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/KEY")})
	must(t, err)
	defer a.Release()
	if a.State != "stale" || a.Age != 6*time.Minute || string(a.Value.Reveal()) != canary {
		t.Errorf("got %q, %s, %v old; want the value, stale, 6m old", a.Value.Reveal(), a.State, a.Age)
	}
	if n := h.records(`"status":200`, `"cache":{"state":"stale","age_ms":360000`); n != 1 {
		t.Errorf("%d records tell that it was stale, want 1:\n%s", n, h.sink.Text())
	}
}

// Failing to answer is one thing, the vault's own word about the secret another: the one allows stale values, the other
// ends them at once.
func TestWhatTheUpstreamSays(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want api.Code // "" for a stale value
	}{
		{secret.ErrUnavailable, ""}, // a failed login, a missing mount or route, a 5xx
		{secret.ErrThrottled, ""},
		{secret.ErrTimeout, ""},
		{fmt.Errorf("%w: %w", secret.ErrUnavailable, secret.ErrNotFound), ""}, // the whole mount is missing
		{errors.New("unexplained"), ""},
		{secret.ErrDenied, api.UpstreamError},
		{secret.ErrNotFound, api.NotFound},
	} {
		h := newHarness(t, lenient)
		c := h.call(t, "read:one/*")
		h.read(t, c, "one/KEY")
		h.broken(fmt.Errorf("asking: %w", tt.err))
		if v, code := h.read(t, c, "one/KEY"); code != tt.want || (v == canary) != (tt.want == "") {
			t.Errorf("%v: got %q %q, want %q", tt.err, v, code, tt.want)
		}
		if tt.want == "" {
			continue
		}
		h.broken(secret.ErrUnavailable)
		if _, code := h.read(t, c, "one/KEY"); code != api.UpstreamError {
			t.Errorf("%v, then a failure: got %q, want upstream_error: nothing is left to serve", tt.err, code)
		}
	}
}

// I3, I4: what was invalidated or revoked is not served stale, not even when the revocation is lifted; neither is what
// is restricted, by the label of its mount or by a rule.
func TestNeverStale(t *testing.T) {
	restricted := []policy.Pair{{Name: "classification", Value: "restricted"}}
	for name, tt := range map[string]struct {
		edit   func(*proxy.Config)
		before func(*harness)
		want   api.Code
	}{
		"nothing of the kind": {want: ""},
		"older than stale_if_error": {
			before: func(h *harness) { h.clock.pass(54*time.Minute, 54*time.Minute) }, want: api.UpstreamError,
		},
		"invalidated elsewhere": {
			before: func(h *harness) { appendFact(t, h, state.Invalidation, "one/**") }, want: api.UpstreamError,
		},
		"revoked":             {before: func(h *harness) { appendFact(t, h, state.Revocation, "secret:one/K*") }, want: api.Revoked},
		"another one revoked": {before: func(h *harness) { appendFact(t, h, state.Revocation, "secret:one/OTHER") }, want: ""},
		"revoked and lifted": {
			before: func(h *harness) {
				id := appendFact(t, h, state.Revocation, "secret:one/K*")
				if _, code := h.read(t, h.call(t, "read:one/*"), "one/KEY"); code != api.Revoked {
					t.Errorf("while it is revoked: got %q", code)
				}
				appendFact(t, h, state.Lift, id)
				h.clock.pass(time.Second, time.Second)
			},
			want: api.UpstreamError,
		},
		"mount restricted": {
			edit: func(c *proxy.Config) { c.Mounts[0].Labels = restricted }, want: api.UpstreamError,
		},
		"rule restricts": {
			edit: func(c *proxy.Config) {
				c.Labels = []proxy.LabelRule{{Match: secret.Exactly(path(t, "one/KEY")), Set: restricted}}
			}, want: api.UpstreamError,
		},
		"rule restricts another": {
			edit: func(c *proxy.Config) {
				c.Labels = []proxy.LabelRule{{Match: secret.Exactly(path(t, "one/OTHER")), Set: restricted}}
			}, want: "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, func(c *proxy.Config) {
				lenient(c)
				if tt.edit != nil {
					tt.edit(c)
				}
			})
			c := h.call(t, "read:one/*")
			h.read(t, c, "one/KEY")
			h.broken(secret.ErrUnavailable)
			if tt.before != nil {
				tt.before(h)
			}
			v, code := h.read(t, c, "one/KEY")
			if code != tt.want || (v == canary) != (tt.want == "") {
				t.Errorf("got %q %q, want %q", v, code, tt.want)
			}
		})
	}
}

func TestAbsenceIsRemembered(t *testing.T) {
	h := newHarness(t, lenient)
	c := h.call(t, "read:** write:**")
	for range 20 {
		if _, code := h.read(t, c, "one/NEW"); code != api.NotFound {
			t.Fatalf("got %q, want not_found", code)
		}
	}
	if n := h.vault.reads.Load(); n != 1 {
		t.Errorf("%d upstream reads for a client that goes round in circles, want 1", n)
	}
	h.clock.pass(2*time.Second, 2*time.Second)
	_, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, "one/NEW")})
	var e *proxy.Error
	if !errors.As(err, &e) || e.Code != api.NotFound || e.Cache != "negative" || e.Age != 2*time.Second {
		t.Errorf("got %+v, want not_found from memory, 2s old", e)
	}
	if n := h.records(`"code":"not_found"`, `"cache":{"state":"negative"`); n != 20 {
		t.Errorf("%d records tell that it was remembered, want 20", n)
	}
	// A write through the proxy ends it, through every mount of the object.
	h.read(t, c, "two/NEW")
	must(t, write(t, h, c, "one/NEW", "fresh"))
	for _, p := range []string{"one/NEW", "two/NEW"} {
		if v, code := h.read(t, c, p); v != "fresh" {
			t.Errorf("%s after the write: got %q %q", p, v, code)
		}
	}
	// So does an invalidation of another node.
	h.read(t, c, "one/LATER")
	h.vault.set("a/LATER", "fresh")
	if _, code := h.read(t, c, "one/LATER"); code != api.NotFound {
		t.Errorf("got %q, want it remembered as missing", code)
	}
	appendFact(t, h, state.Invalidation, "one/LATER")
	h.clock.pass(time.Second, time.Second)
	if v, code := h.read(t, c, "one/LATER"); v != "fresh" {
		t.Errorf("after the invalidation: got %q %q", v, code)
	}
	h.broken(secret.ErrUnavailable)
	before := h.vault.reads.Load()
	for range 2 {
		if _, code := h.read(t, c, "one/UNKNOWN"); code != api.UpstreamError {
			t.Errorf("got %q, want upstream_error", code)
		}
	}
	if n := h.vault.reads.Load() - before; n != 2 {
		t.Errorf("%d reads, want 2: a failure is not remembered", n)
	}
	h.mended()
}
