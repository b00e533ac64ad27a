package proxy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

func write(t *testing.T, h *harness, c *proxy.Call, p, value string) error {
	t.Helper()
	_, err := h.Write(t.Context(), c, path(t, p), secret.Write{Secret: &secret.Secret{Value: secret.NewValue([]byte(value))}})
	return err
}

// A write is seen by the next read through every mount of the object, and is a fact for each of them.
func TestWriteIsSeenThroughEveryMount(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:** write:**")
	h.read(t, c, "one/KEY")
	h.read(t, c, "two/KEY")
	must(t, write(t, h, c, "one/KEY", "new"))
	for _, p := range []string{"one/KEY", "two/KEY"} {
		if v, code := h.read(t, c, p); v != "new" {
			t.Errorf("%s: got %q %q, want the new value", p, v, code)
		}
	}
	facts, last, err := h.store.Since(t.Context(), 0)
	must(t, err)
	if len(facts) != 2 || last != 2 || facts[0].Kind != state.Invalidation || facts[0].Subject != "one/KEY" || facts[1].Subject != "two/KEY" {
		t.Errorf("got facts %+v", facts)
	}
	if h.Generation() != last || len(h.vault.pending) != 0 {
		t.Errorf("got generation %d and %d pending, want %d and none", h.Generation(), len(h.vault.pending), last)
	}
}

// A write whose fact cannot be appended is not acknowledged, is seen here all the same, and is announced later.
func TestWriteThatCannotBeAnnounced(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:** write:**")
	h.read(t, c, "one/KEY")
	h.store.fail.Store(true)
	var e *proxy.Error
	if err := write(t, h, c, "one/KEY", "new"); !errors.As(err, &e) || e.Code != api.StateUnavailable || e.Decision == "" {
		t.Fatalf("got %v, want state_unavailable with the decision", err)
	}
	if v, _ := h.read(t, c, "one/KEY"); v != "new" {
		t.Errorf("got %q, want the new value: the old one is known to be old", v)
	}
	if n := h.records(`"kind":"outcome"`, `"code":"state_unavailable"`, `"pair":"`+e.Decision+`"`); n != 1 {
		t.Errorf("got %d outcome records, want 1", n)
	}
	h.store.fail.Store(false)
	must(t, write(t, h, c, "one/OTHER", "x"))
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	if len(facts) != 4 || len(h.vault.pending) != 0 {
		t.Errorf("got %d facts and %d pending, want both writes announced through both mounts", len(facts), len(h.vault.pending))
	}
}

// What a crash left unannounced is announced before anything is served.
func TestStartAnnouncesWhatACrashLeft(t *testing.T) {
	var left *vault
	h := newHarness(t, func(c *proxy.Config) {
		left = c.Mounts[0].Upstream.(*vault)
		left.pending = []secret.Change{{ID: 7, Name: "a/KEY"}, {ID: 8, Name: "elsewhere/KEY"}}
	})
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	if len(facts) != 2 || facts[0].Subject != "one/KEY" {
		t.Errorf("got facts %+v, want one for each mount that shows the object", facts)
	}
	if len(left.pending) != 0 {
		t.Errorf("got %d pending, want none", len(left.pending))
	}
}

// A conflict changes nothing; any other failure may have changed something, so the cached value is dropped.
func TestFailedWritesAndTheCache(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:** write:**")
	h.read(t, c, "one/KEY")
	h.vault.fail = secret.ErrConflict
	if err := write(t, h, c, "one/KEY", "new"); codeOf(t, err) != api.VersionConflict {
		t.Errorf("got %v, want version_conflict", err)
	}
	if v, code := h.read(t, c, "one/KEY"); v != canary {
		t.Errorf("after a conflict: got %q, want the cached value", code)
	}
	h.vault.fail = secret.ErrTimeout
	if err := write(t, h, c, "one/KEY", "new"); codeOf(t, err) != api.UpstreamTimeout {
		t.Errorf("got %v, want upstream_timeout", err)
	}
	if _, code := h.read(t, c, "one/KEY"); code != api.UpstreamTimeout {
		t.Errorf("after a write that may have happened: got %q, want the upstream to be asked", code)
	}
}

// A node that missed more than the log holds drops its cache and its revocations, and reads the snapshot.
func TestCompactedLog(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:**")
	appendFact(t, h, state.Invalidation, "elsewhere/KEY")
	h.clock.pass(2e9, 2e9)
	h.read(t, c, "one/KEY")
	h.vault.set("a/KEY", "rotated")
	h.store.compacted.Store(true)
	h.clock.pass(2e9, 2e9)
	if v, code := h.read(t, c, "one/KEY"); v != "rotated" {
		t.Errorf("got %q %q, want the value read anew", v, code)
	}
}

// An invalidation stays in the log for as long as a value that it names could be served anywhere.
func TestInvalidationsOutliveStaleValues(t *testing.T) {
	h := newHarness(t, lenient)
	must(t, write(t, h, h.call(t, "write:**"), "one/KEY", "new"))
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	if got, want := facts[0].ExpiresAt.Sub(facts[0].At), time.Hour+30*time.Second+5*time.Minute; got != want {
		t.Errorf("kept for %v, want %v", got, want)
	}
}

// An announcement that fails again is tried once in each check interval, not by each request in turn.
func TestAnnouncementsAreNotTriedByEveryRequest(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/* write:one/*")
	h.read(t, c, "one/KEY")
	h.store.fail.Store(true)
	if err := write(t, h, c, "one/OTHER", "new"); codeOf(t, err) != api.StateUnavailable {
		t.Fatalf("got %v", err)
	}
	tried := func() int64 {
		before := h.store.appends.Load()
		for range 5 {
			h.read(t, c, "one/KEY")
		}
		return h.store.appends.Load() - before
	}
	if n := tried(); n != 1 {
		t.Errorf("5 requests tried %d times, want once", n)
	}
	h.clock.pass(time.Second, time.Second)
	if n := tried(); n != 1 {
		t.Errorf("an interval later 5 requests tried %d times, want once", n)
	}
	h.store.fail.Store(false)
	h.clock.pass(time.Second, time.Second)
	if n := tried(); n != 2 { // the path is mounted twice
		t.Errorf("%d facts were appended when the store was back, want 2", n)
	}
}
