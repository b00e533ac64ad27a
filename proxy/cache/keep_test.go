package cache_test

import (
	"errors"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Of two callers of one entry each is served by its own bounds, and the stricter takes nothing from the other.
func TestStricterCallerKeepsTheEntry(t *testing.T) {
	clk := newClocks()
	u := &upstream{}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono})
	lax := cache.TTL{Soft: time.Minute, Hard: 5 * time.Minute, Stale: time.Hour}
	strict := cache.TTL{Soft: time.Minute, Hard: 5 * time.Minute, Keep: time.Hour}
	k := cache.Key{Mount: "m", Name: "env", Fields: true, Version: secret.Current} // at the root: its path is the zero Path
	h, err := c.Get(t.Context(), k, strict, u.load)
	if err != nil {
		t.Fatal(err)
	}
	h.Release()
	u.fail(errUpstream)
	for age := 6 * time.Minute; age < time.Hour; age += 20 * time.Minute {
		clk.pass(age - clk.Mono())
		if c.Has(k, strict) {
			t.Errorf("%v old: the cache has it for who is not served it", age)
		}
		if _, err := c.Get(t.Context(), k, strict, u.load); !errors.Is(err, errUpstream) {
			t.Errorf("%v old: got %v, want the failure of the upstream", age, err)
		}
		if c.Has(k, strict) || !c.Has(k, lax) {
			t.Errorf("%v old, and the upstream fails: the cache has it for who is not served it, or not for the other", age)
		}
		h, err := c.Get(t.Context(), k, lax, u.load)
		if err != nil || h.State() != cache.Stale {
			t.Fatalf("%v old: got %v, %v, want the value, stale", age, h.State(), err)
		}
		h.Release()
	}
	clk.pass(time.Hour - clk.Mono())
	if _, err := c.Get(t.Context(), k, strict, u.load); !errors.Is(err, errUpstream) {
		t.Errorf("got %v", err)
	}
	if n := u.leaked(); n > 0 || c.Stats().Entries > 0 {
		t.Errorf("past the longest bound %d values are in memory", n)
	}
}
