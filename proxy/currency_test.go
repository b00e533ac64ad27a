package proxy_test

import (
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// How old knowledge may be, by the mount's mode: with a store that answers, and with one that does not.
func TestHowOldKnowledgeMayBe(t *testing.T) {
	const soon, later, blind = 500 * time.Millisecond, 2 * time.Second, 40 * time.Second // the check interval is 1 s, max_blind 30 s
	for _, c := range []struct {
		mode  proxy.Freshness
		after time.Duration // since the last good check
		fails bool          // the store; otherwise it has a revocation of the secret
		want  api.Code
	}{
		{proxy.Strict, soon, false, api.Revoked},
		{proxy.Strict, soon, true, api.StateUnavailable},
		{proxy.Strict, later, true, api.StateUnavailable},
		{proxy.Bounded, soon, false, ""},
		{proxy.Bounded, soon, true, ""},
		{proxy.Bounded, later, false, api.Revoked},
		{proxy.Bounded, later, true, ""},
		{proxy.Bounded, blind, true, api.StateUnavailable},
		{"", later, false, api.Revoked},
		{"", blind, true, api.StateUnavailable},
		{proxy.Eventual, soon, false, ""},
		{proxy.Eventual, later, true, ""},
		{proxy.Eventual, blind, false, api.Revoked},
		{proxy.Eventual, blind, true, api.StateUnavailable},
	} {
		h := newHarness(t, freshness(c.mode))
		reader := h.call(t, "read:one/*")
		if _, code := h.read(t, reader, "one/KEY"); code != "" {
			t.Fatalf("%s: before anything: got %q", c.mode, code)
		}
		appendFact(t, h, state.Revocation, "secret:one/KEY")
		h.store.fail.Store(c.fails)
		h.clock.pass(c.after, c.after)
		if v, code := h.read(t, reader, "one/KEY"); code != c.want || (v == canary) != (c.want == "") {
			t.Errorf("%s, %v after a check, store fails %t: got %q %q, want %q", c.mode, c.after, c.fails, v, code, c.want)
		}
	}
}

// A restricted secret is served on no mount by a node that cannot check.
func TestRestrictedIsNeverServedBlindly(t *testing.T) {
	for _, mode := range []proxy.Freshness{proxy.Strict, proxy.Bounded, proxy.Eventual} {
		h := newHarness(t, func(c *proxy.Config) {
			freshness(mode)(c)
			c.Labels = []proxy.LabelRule{classified(t, "one/KEY", "restricted")}
		})
		reader := h.call(t, "read:one/*")
		h.read(t, reader, "one/KEY")
		h.store.fail.Store(true)
		h.clock.pass(2*time.Second, 2*time.Second)
		if v, code := h.read(t, reader, "one/KEY"); v != "" || code != api.StateUnavailable {
			t.Errorf("%s: got %q %q, want state_unavailable", mode, v, code)
		}
	}
}

// max_blind 0: a node that cannot check does not serve.
func TestNoBlindnessAtAll(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) { c.MaxBlind = 0 })
	reader := h.call(t, "read:one/*")
	h.read(t, reader, "one/KEY")
	if err := h.Ready(); err != nil {
		t.Errorf("with a store that answers: %v", err)
	}
	h.store.fail.Store(true)
	h.clock.pass(time.Second, time.Second)
	if v, code := h.read(t, reader, "one/KEY"); v != "" || code != api.StateUnavailable {
		t.Errorf("got %q %q, want state_unavailable", v, code)
	}
	if h.Ready() == nil {
		t.Error("ready although the store does not answer")
	}
}

// A revocation ends when it says, and of several on one subject the one that lasts longest counts.
func TestRevocationsEnd(t *testing.T) {
	until := func(h *harness, subject string, d time.Duration) {
		f := state.Fact{ID: subject + d.String(), Kind: state.Revocation, Subject: subject, At: h.clock.Wall()}
		if d != 0 {
			f.ExpiresAt = h.clock.Wall().Add(d)
		}
		_, err := h.store.Append(t.Context(), f)
		must(t, err)
	}
	for _, subject := range []string{"subject:app", "secret:one/*"} {
		h := newHarness(t, nil)
		c := h.call(t, "read:one/*")
		until(h, subject, 10*time.Second)
		h.clock.pass(time.Second, time.Second)
		if _, code := h.read(t, c, "one/KEY"); code != api.Revoked {
			t.Errorf("%s: got %q, want revoked", subject, code)
		}
		h.clock.pass(9*time.Second, 9*time.Second)
		if v, code := h.read(t, c, "one/KEY"); v != canary {
			t.Errorf("%s at its end: got %q, want the value", subject, code)
		}
	}
	// The set of revocations has no order, so that one of many rounds sees each.
	for round := range 10 {
		for _, lasts := range [][]time.Duration{{0, 5e9}, {5e9, 0}, {20e9, 5e9}, {5e9, 20e9}} {
			h := newHarness(t, nil)
			for _, d := range lasts {
				until(h, "subject:app", d)
			}
			c := h.call(t, "read:one/*")
			for _, passed := range []time.Duration{time.Second, 9 * time.Second} {
				h.clock.pass(passed, passed)
				if _, code := h.read(t, c, "one/KEY"); code != api.Revoked {
					t.Fatalf("round %d, %v: got %q, want revoked", round, lasts, code)
				}
			}
		}
	}
}

// A revocation of a kind that a newer node knows means every secret here, and nobody's token.
func TestUnknownRevocation(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*")
	appendFact(t, h, state.Revocation, "planet:mars")
	h.clock.pass(time.Second, time.Second)
	if v, code := h.read(t, c, "one/KEY"); v != "" || code != api.Revoked {
		t.Errorf("got %q %q, want revoked", v, code)
	}
	if _, err := h.Whoami(t.Context(), c); err != nil {
		t.Errorf("whoami: %v", err)
	}
}
