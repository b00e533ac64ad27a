package proxy_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/state"
	"github.com/keyhole-edge/keyhole/proxy/state/boltstore"
)

// onFile is a harness over the file store, with every mount in the mode.
func onFile(t *testing.T, mode proxy.Freshness, edit ...func(*proxy.Config)) *harness {
	t.Helper()
	var failing *store
	h := newHarness(t, func(c *proxy.Config) {
		file, err := boltstore.Open(boltstore.Config{Path: filepath.Join(t.TempDir(), "state.db"), Wall: c.Wall})
		must(t, err)
		failing = &store{Store: file}
		c.State = failing
		for i := range c.Mounts {
			c.Mounts[i].Freshness = mode
		}
		for _, e := range edit {
			e(c)
		}
	})
	must(t, h.store.Close())
	h.store = failing
	return h
}

// How often the store is asked, and how soon another node's invalidation counts.
func TestFreshnessModes(t *testing.T) {
	for mode, want := range map[proxy.Freshness]struct {
		reads int64  // of the store, for ten requests within one check interval
		soon  string // right after the invalidation
	}{
		proxy.Strict:   {reads: 10, soon: "rotated"},
		proxy.Bounded:  {reads: 0, soon: canary},
		"":             {reads: 0, soon: canary},
		proxy.Eventual: {reads: 0, soon: canary},
	} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := onFile(t, mode)
				c := h.call(t, "read:one/*")
				h.read(t, c, "one/KEY")
				before := h.store.reads.Load()
				for range 10 {
					h.read(t, c, "one/KEY")
				}
				if got := h.store.reads.Load() - before; got != want.reads {
					t.Errorf("%d reads of the store, want %d", got, want.reads)
				}
				h.vault.set("a/KEY", "rotated")
				appendFact(t, h, state.Invalidation, "one/KEY")
				if v, code := h.read(t, c, "one/KEY"); v != want.soon {
					t.Errorf("at once: got %q %q, want %q", v, code, want.soon)
				}
				h.clock.pass(time.Second, time.Second)
				if mode == proxy.Eventual {
					h.read(t, c, "one/KEY") // begins the look that it does not wait for
					synctest.Wait()
				}
				if v, code := h.read(t, c, "one/KEY"); v != "rotated" {
					t.Errorf("past the check interval: got %q %q, want the new value", v, code)
				}
			})
		})
	}
}

// Eventual requests do not wait for the store, but they do after a frost, and where the secret is restricted.
func TestEventualDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := onFile(t, proxy.Eventual, func(c *proxy.Config) {
			c.Mounts[1].Labels = []policy.Pair{{Name: "classification", Value: "restricted"}}
		})
		c := h.call(t, "read:**")
		h.read(t, c, "one/KEY")
		h.read(t, c, "two/KEY")
		appendFact(t, h, state.Revocation, "secret:**")
		gate := make(chan struct{})
		h.store.gate.Store(&gate)
		h.clock.pass(2*time.Second, 2*time.Second)
		for range 3 {
			if v, code := h.read(t, c, "one/KEY"); v != canary {
				t.Fatalf("while the store takes its time: got %q, want the value", code)
			}
		}
		answered := make(chan api.Code, 1)
		go func() {
			_, code := h.read(t, c, "two/KEY")
			answered <- code
		}()
		synctest.Wait()
		select {
		case code := <-answered:
			t.Errorf("restricted: got %q without waiting for the store", code)
		default:
		}
		close(gate)
		if code := <-answered; code != api.Revoked {
			t.Errorf("restricted: got %q, want revoked", code)
		}

		h = onFile(t, proxy.Eventual)
		c = h.call(t, "read:**")
		h.read(t, c, "one/KEY")
		appendFact(t, h, state.Revocation, "secret:**")
		h.clock.pass(2*time.Second, 0)
		if v, code := h.read(t, c, "one/KEY"); code != api.Revoked {
			t.Errorf("after a frost: got %q %q, want revoked", v, code)
		}
	})
}

// I3: whatever the mode, a node that cannot read the store serves no longer than max_blind; strict ones and restricted
// secrets not at all. It does not try with every request.
func TestMaxBlind(t *testing.T) {
	for name, tt := range map[string]struct {
		mode       proxy.Freshness
		never      bool
		restricted bool
		within     api.Code
	}{
		"bounded":              {mode: proxy.Bounded},
		"eventual":             {mode: proxy.Eventual},
		"strict":               {mode: proxy.Strict, within: api.StateUnavailable},
		"bounded, restricted":  {mode: proxy.Bounded, restricted: true, within: api.StateUnavailable},
		"eventual, restricted": {mode: proxy.Eventual, restricted: true, within: api.StateUnavailable},
		"bounded, never":       {mode: proxy.Bounded, never: true, within: api.StateUnavailable},
		"eventual, never":      {mode: proxy.Eventual, never: true, within: api.StateUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := onFile(t, tt.mode, func(c *proxy.Config) {
					if tt.never {
						c.MaxBlind = 0
					}
					if tt.restricted {
						c.Mounts[0].Labels = []policy.Pair{{Name: "classification", Value: "restricted"}}
					}
				})
				c := h.call(t, "read:one/*")
				h.read(t, c, "one/KEY")
				h.store.fail.Store(true)
				h.clock.pass(29*time.Second, 29*time.Second)
				h.read(t, c, "one/KEY")
				synctest.Wait()
				if h.Stats().FailedChecks == 0 {
					t.Fatal("the store was not asked")
				}
				before := h.store.reads.Load()
				for range 10 {
					if _, code := h.read(t, c, "one/KEY"); code != tt.within {
						t.Fatalf("within max_blind: got %q, want %q", code, tt.within)
					}
				}
				if got := h.store.reads.Load() - before; tt.within == "" && got != 0 {
					t.Errorf("%d reads of a store that failed a moment ago", got)
				}
				h.clock.pass(time.Second, time.Second)
				if v, code := h.read(t, c, "one/KEY"); code != api.StateUnavailable {
					t.Errorf("at max_blind: got %q %q, want state_unavailable", v, code)
				}
				if err := h.Ready(); err == nil {
					t.Error("ready while blind")
				}
				h.store.fail.Store(false)
				if v, code := h.read(t, c, "one/KEY"); v != canary {
					t.Errorf("healed: got %q", code)
				}
			})
		})
	}
}

// While a snapshot replaces what was known, no request finds a moment in which nothing is revoked.
func TestSnapshotLeavesNoGap(t *testing.T) {
	h := onFile(t, proxy.Bounded)
	c := h.call(t, "read:one/*")
	appendFact(t, h, state.Revocation, "subject:app")
	for i := range 200 {
		appendFact(t, h, state.Revocation, "subject:somebody-else")
		h.store.compacted.Store(i > 0)
		h.clock.pass(time.Second, time.Second)
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.read(t, c, "one/KEY")
		}()
		for range 3 {
			if v, code := h.read(t, c, "one/KEY"); code != api.Revoked {
				t.Fatalf("got %q %q, want revoked", v, code)
			}
		}
		<-done
	}
}
