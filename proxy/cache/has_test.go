package cache_test

import (
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Has is true exactly while Get would answer without an upstream, and is no use of the entry.
func TestHasSaysWhetherGetWaits(t *testing.T) {
	for _, inline := range []bool{false, true} {
		clk, u := newClocks(), &upstream{}
		c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono, RefreshInline: inline})
		k := key(t, "team/db")
		want := func(want bool) {
			t.Helper()
			before := c.Stats()
			if got := c.Has(k, ttl); got != want {
				t.Errorf("inline %t: got %t, want %t", inline, got, want)
			}
			if after := c.Stats(); after != before {
				t.Errorf("Has changed the stats from %+v to %+v", before, after)
			}
		}
		want(false)
		get(t, c, k, u)
		want(true)
		clk.pass(ttl.Soft - time.Millisecond)
		want(true)
		clk.pass(time.Millisecond)
		want(!inline)
		clk.pass(ttl.Hard - ttl.Soft - time.Millisecond)
		want(!inline)
		clk.pass(time.Millisecond)
		want(false)
	}
}

// What is known not to exist is answered without an upstream, too; what is only kept for when the upstream fails is not.
func TestHasOfAbsentAndStale(t *testing.T) {
	clk, u := newClocks(), &upstream{}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono, Rand: func() float64 { return 0.5 }})
	long := ttl
	long.Stale, long.Negative = 2*ttl.Hard, 10*time.Second
	k, absent := key(t, "team/db"), key(t, "team/none")
	get(t, c, k, u)
	u.fail(secret.ErrNotFound)
	if _, err := c.Get(t.Context(), absent, long, u.load); err == nil {
		t.Fatal("got a secret")
	}
	if !c.Has(absent, long) || c.Has(absent, ttl) {
		t.Error("what is remembered as absent is answered where the mount remembers")
	}
	clk.pass(10 * time.Second)
	if c.Has(absent, long) {
		t.Error("the absence is remembered too long")
	}
	clk.pass(ttl.Hard)
	if c.Has(k, long) {
		t.Error("a stale value is served without asking the upstream")
	}
}
