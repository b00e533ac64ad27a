package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

var negativeTTL = cache.TTL{Soft: time.Minute, Hard: 5 * time.Minute, Negative: 10 * time.Second}

func missing() *upstream { return &upstream{err: secret.ErrNotFound} }

// remembered reports whether Get answers from memory that k does not exist.
func remembered(t testing.TB, c *cache.Cache, k cache.Key, u *upstream) bool {
	t.Helper()
	before := u.count()
	_, _, err := try(t, c, k, negativeTTL, u)
	var n *cache.NegativeError
	if yes := errors.As(err, &n); yes != (u.count() == before) || yes && !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("%v after %d reads more", err, u.count()-before)
	}
	return n != nil
}

func TestAbsenceIsRememberedMoreOrLess(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 5 * time.Second, 0.5: 10 * time.Second, 0.99: 14900 * time.Millisecond} {
		clk, u := newClocks(), missing()
		c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono, Rand: func() float64 { return random }})
		k := key(t, "a")
		if remembered(t, c, k, u) {
			t.Error("remembered before it was known")
		}
		clk.pass(want - time.Millisecond)
		_, _, err := try(t, c, k, negativeTTL, u)
		if n := (*cache.NegativeError)(nil); !errors.As(err, &n) || n.Age != want-time.Millisecond || u.count() != 1 {
			t.Errorf("random %v: %v after %d reads; want it remembered", random, err, u.count())
		}
		clk.pass(time.Millisecond)
		if remembered(t, c, k, u) {
			t.Errorf("random %v: remembered for longer than %v", random, want)
		}
		if got := c.Stats(); got.Negative != 1 || got.Failures != 0 {
			t.Errorf("stats = %+v, want 1 negative answer and no failures", got)
		}
	}
}

func TestOnlyAbsenceIsRemembered(t *testing.T) {
	for _, err := range []error{secret.ErrDenied, secret.ErrUnavailable, secret.ErrThrottled, secret.ErrTimeout, errUpstream} {
		u := &upstream{err: err}
		c := open(t, cache.Config{})
		k := key(t, "a")
		remembered(t, c, k, u)
		if remembered(t, c, k, u) {
			t.Errorf("%v was remembered", err)
		}
	}
	u := missing()
	c := open(t, cache.Config{})
	for range 2 {
		if _, _, err := try(t, c, key(t, "a"), ttl, u); !errors.Is(err, secret.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if u.count() != 2 {
		t.Error("remembered without a bound")
	}
}

func TestWhatForgetsAnAbsence(t *testing.T) {
	for name, forget := range map[string]func(*cache.Cache, *clocks){
		"invalidation":              func(c *cache.Cache, _ *clocks) { c.Invalidate(pattern(t, "team/db")) },
		"invalidation of all below": func(c *cache.Cache, _ *clocks) { c.Invalidate(pattern(t, "team/**")) },
		"flush":                     func(c *cache.Cache, _ *clocks) { c.Flush() },
		"wall clock set back":       func(_ *cache.Cache, clk *clocks) { clk.move(-time.Hour, 0) },
		"frost":                     func(_ *cache.Cache, clk *clocks) { clk.move(time.Minute, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			clk, u := newClocks(), missing()
			c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono})
			remembered(t, c, key(t, "team/db"), u)
			c.Invalidate(pattern(t, "team/other"))
			c.Invalidate(pattern(t, "other/**"))
			if !remembered(t, c, key(t, "team/db"), u) {
				t.Fatal("forgotten without a reason")
			}
			forget(c, clk)
			if remembered(t, c, key(t, "team/db"), u) {
				t.Error("still remembered")
			}
		})
	}
}

// That one version is missing says nothing about the others, and an invalidation cuts off what is being found out.
func TestAbsenceIsOfOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := missing()
		c := open(t, cache.Config{})
		k := key(t, "a")
		seventh := k
		seventh.Version = "7"
		remembered(t, c, seventh, u)
		if remembered(t, c, k, u) {
			t.Error("the current version is taken for missing because the seventh is")
		}
		for i := range 100 {
			seventh.Version = secret.Version(fmt.Sprint(i))
			remembered(t, c, seventh, u)
		}
		if got := c.Stats().Negatives; got != 1 {
			t.Errorf("%d paths remembered, want 1", got)
		}
		u.before = func(context.Context) { c.Invalidate(secret.Exactly(k.Path)) }
		other := key(t, "b")
		remembered(t, c, k, u)
		u.before = nil
		if remembered(t, c, k, u) {
			t.Error("what was found out before an invalidation is remembered after it")
		}
		remembered(t, c, other, u)
		if !remembered(t, c, other, u) {
			t.Error("forgotten")
		}
	})
}

// A value that was read ends the absence of its key, and no other.
func TestPresenceEndsAbsence(t *testing.T) {
	u := missing()
	c := open(t, cache.Config{})
	k := key(t, "a")
	seventh := k
	seventh.Version = "7"
	remembered(t, c, k, u)
	remembered(t, c, seventh, u)
	u.fail(nil)
	if _, s, err := try(t, c, k, ttl, u); s != cache.Miss { // a mount that remembers no absences reads
		t.Fatal(s, err)
	}
	c2 := cache.TTL{Negative: negativeTTL.Negative} // keeps no values, so that the answer is memory or a read
	if _, _, err := try(t, c, seventh, c2, u); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("the seventh version: %v, want it remembered as absent", err)
	}
	if _, _, err := try(t, c, k, c2, u); err != nil {
		t.Errorf("after a value was read: %v", err)
	}
}

func TestAbsencesAreBounded(t *testing.T) {
	u := missing()
	c := open(t, cache.Config{Entries: 100})
	for i := range 1000 {
		remembered(t, c, key(t, fmt.Sprintf("a/%d", i)), u)
	}
	if got := c.Stats(); got.Negatives != 10 || got.Entries != 0 {
		t.Errorf("%d absences and %d entries held, want a tenth of 100 and none", got.Negatives, got.Entries)
	}
	if !remembered(t, c, key(t, "a/999"), u) || remembered(t, c, key(t, "a/0"), u) {
		t.Error("not the least recently used one was dropped")
	}
}
