package proxy_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// later runs a read on a goroutine of its own and returns once it waits for something, or is done.
func later(ctx context.Context, t testing.TB, h *harness, c *proxy.Call) <-chan string {
	t.Helper()
	out := make(chan string, 1)
	go func() {
		defer func() {
			if recover() != nil {
				out <- "panic"
			}
		}()
		a, err := h.Read(ctx, c, proxy.ReadRequest{Path: path(t, "one/KEY")})
		if err != nil {
			out <- string(codeOf(t, err))
			return
		}
		defer a.Release()
		out <- string(a.Value.Reveal())
	}()
	synctest.Wait()
	return out
}

// let ends the wait of the one read of the store that waits.
func (g *gate) let(t testing.TB) {
	t.Helper()
	synctest.Wait()
	select {
	case g.leave <- struct{}{}:
	default:
		t.Fatal("no read of the store waits")
	}
}

// A caller never relies on a read of the store that began before it asked.
func TestAJoinedCheckIsNotOlderThanTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g := gated(t, freshness(proxy.Strict))
		c := h.call(t, "read:one/*")
		g.shut()
		first := later(t.Context(), t, h, c)
		appendFact(t, h, state.Revocation, "secret:one/KEY")
		second := later(t.Context(), t, h, c)
		g.let(t)
		if got := <-first; got != canary {
			t.Errorf("who asked before the fact: got %q, want the value", got)
		}
		close(g.leave)
		if got := <-second; got != string(api.Revoked) {
			t.Errorf("who asked after the fact: got %q, want revoked", got)
		}
	})
}

// Callers at the same time share one read, and a read that is under way when they come is followed by one more.
func TestChecksAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g := gated(t, freshness(proxy.Strict))
		c := h.call(t, "read:one/*")
		before := g.calls.Load()
		g.shut()
		var all []<-chan string
		for range 6 {
			all = append(all, later(t.Context(), t, h, c))
		}
		g.let(t)
		synctest.Wait()
		close(g.leave)
		for i, out := range all {
			if got := <-out; got != canary {
				t.Errorf("caller %d: got %q, want the value", i, got)
			}
		}
		if got := g.calls.Load() - before; got != 2 {
			t.Errorf("got %d reads of the store, want 2", got)
		}
	})
}

// A caller who hangs up does not end the read that he began; one who waits for it does not wait longer than he wants.
func TestChecksAndCallersWhoHangUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g := gated(t, nil)
		c := h.call(t, "read:one/*")
		h.clock.pass(time.Second, time.Second)
		g.shut()
		ctx, cancel := context.WithCancel(t.Context())
		first := later(ctx, t, h, c)
		second := later(ctx, t, h, c)
		cancel()
		synctest.Wait()
		select {
		case got := <-second:
			if got == canary {
				t.Error("a caller who hung up was served without a check")
			}
		default:
			t.Error("a caller who hung up still waits for the check")
		}
		close(g.leave)
		<-first
		before := g.calls.Load()
		if v, code := h.read(t, c, "one/KEY"); v != canary {
			t.Errorf("got %q, want the value", code)
		}
		if got := g.calls.Load() - before; got != 0 {
			t.Errorf("the store was read %d times more: the check went with the caller who began it", got)
		}
	})
}

// What a check tells is as old as its beginning.
func TestAChecksAgeCountsFromItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g := gated(t, nil)
		c := h.call(t, "read:one/*")
		h.clock.pass(time.Second, time.Second)
		g.shut()
		first := later(t.Context(), t, h, c)
		h.clock.pass(900*time.Millisecond, 900*time.Millisecond)
		appendFact(t, h, state.Revocation, "secret:one/KEY")
		close(g.leave)
		<-first
		h.clock.pass(200*time.Millisecond, 200*time.Millisecond)
		if _, code := h.read(t, c, "one/KEY"); code != api.Revoked {
			t.Errorf("got %q, want revoked: the last check began 1.1 s ago", code)
		}
	})
}

// A store that panics costs the request under which it does, lets nobody through, and is asked again.
func TestAStoreThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g := gated(t, freshness(proxy.Strict))
		c := h.call(t, "read:one/*")
		g.shut()
		first := later(t.Context(), t, h, c)
		second, third := later(t.Context(), t, h, c), later(t.Context(), t, h, c)
		g.let(t)
		if got := <-first; got != canary {
			t.Fatalf("got %q, want the value", got)
		}
		synctest.Wait()
		g.broken.Store(true)
		close(g.leave)
		got := map[string]bool{<-second: true, <-third: true}
		if !got["panic"] || !got[string(api.StateUnavailable)] {
			t.Errorf("the two who shared the check got %v, want a panic and state_unavailable", got)
		}
		if v, code := h.read(t, c, "one/KEY"); v != canary {
			t.Errorf("afterwards: got %q, want the value", code)
		}
	})
}

// Freezes too short to be noticed one by one do not add up to a longer trust in the last check.
func TestManyShortFreezes(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*")
	h.read(t, c, "one/KEY")
	h.store.fail.Store(true)
	served := 0
	for range 250 {
		h.clock.pass(time.Second, time.Millisecond)
		if v, _ := h.read(t, c, "one/KEY"); v == canary {
			served++
		}
	}
	if served == 0 || served > 30 {
		t.Errorf("served for %d s without a check, want up to max_blind, 30", served)
	}
	appendLater := func() { appendFact(t, h, state.Revocation, "secret:one/KEY") }
	h.store.fail.Store(false)
	h.read(t, c, "one/KEY")
	appendLater()
	h.clock.pass(time.Second, time.Millisecond)
	if _, code := h.read(t, c, "one/KEY"); code != api.Revoked {
		t.Errorf("a second by the wall clock later: got %q, want revoked", code)
	}
}

// After a compaction the snapshot alone says what is revoked.
func TestCompactionForgetsLiftedRevocations(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:**")
	lifted := appendFact(t, h, state.Revocation, "secret:one/KEY")
	appendFact(t, h, state.Revocation, "secret:two/KEY")
	h.clock.pass(time.Second, time.Second)
	if _, code := h.read(t, c, "one/KEY"); code != api.Revoked {
		t.Fatalf("got %q, want revoked", code)
	}
	appendFact(t, h, state.Lift, lifted)
	h.store.compacted.Store(true)
	h.clock.pass(time.Second, time.Second)
	if v, code := h.read(t, c, "one/KEY"); v != canary {
		t.Errorf("lifted meanwhile: got %q, want the value", code)
	}
	if _, code := h.read(t, c, "two/KEY"); code != api.Revoked {
		t.Errorf("still revoked: got %q, want revoked", code)
	}
}

// An invalidation that this node cannot read means everything.
func TestUnreadableInvalidation(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:one/*")
	h.read(t, c, "one/KEY")
	h.vault.set("a/KEY", "rotated")
	appendFact(t, h, state.Invalidation, "not/a/**/pattern/of/this*version[1]")
	h.clock.pass(time.Second, time.Second)
	if v, code := h.read(t, c, "one/KEY"); v != "rotated" {
		t.Errorf("got %q %q, want the value read anew", v, code)
	}
}
