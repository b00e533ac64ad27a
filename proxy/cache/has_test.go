package cache_test

import (
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
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
