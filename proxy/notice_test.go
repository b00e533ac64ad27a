package proxy_test

import (
	"testing"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// What a platform says of an object is an invalidation of every place that shows it, and of no other.
func TestNotice(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) { c.Mounts[1].At = "b" })
	c := h.call(t, "read:**")
	h.read(t, c, "one/KEY")
	h.read(t, c, "two/KEY")
	h.vault.set("a/KEY", "new")
	say := func(upstream string, objects ...string) int {
		t.Helper()
		n, err := h.Changed(t.Context(), &proxy.Call{Surface: "lambda"}, &proxy.Notice{From: "aws.ssm", ID: "event-1", Upstreams: []string{upstream}, Objects: objects})
		must(t, err)
		return n
	}
	before := h.Generation()
	if n := say("v", "elsewhere/KEY", "a/b c") + say("other", "a/KEY"); n != 0 || h.Generation() != before || h.records(`"action":"invalidate"`) != 0 {
		t.Errorf("objects that no mount shows: %d invalidations", n)
	}
	if n := say("v", "a/KEY", "a/KEY"); n != 1 || h.Generation() != before+1 {
		t.Errorf("got %d invalidations, generation %d, want 1 and %d", n, h.Generation(), before+1)
	}
	if n := h.records(`"kind":"intent"`, `"action":"invalidate"`, `"trust":"event"`, `"sub":"aws.ssm"`, `"path":"one/KEY"`); n != 1 {
		t.Errorf("got %d intents, want 1", n)
	}
	if v, code := h.read(t, c, "one/KEY"); v != "new" {
		t.Errorf("got %q %q", v, code)
	}
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	if len(facts) != 1 || facts[0].Kind != state.Invalidation || facts[0].Subject != "one/KEY" {
		t.Errorf("got facts %+v", facts)
	}
}
