package cache_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func TestThawServesNothingPastHard(t *testing.T) {
	clk, u := newClocks(), &upstream{}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono})
	k := key(t, "a")
	get(t, c, k, u)
	clk.move(time.Hour, 0)
	u.fail(errUpstream)
	if _, err := c.Get(t.Context(), k, ttl, u.load); !errors.Is(err, errUpstream) {
		t.Fatalf("after an hour of frost: error %v, want %v", err, errUpstream)
	}
	u.fail(nil)
	if n, s, _ := get(t, c, k, u); n != 3 || s != cache.Miss {
		t.Errorf("after an hour of frost: read %d, %s; want 3, miss", n, s)
	}
}

func TestObserveCountsThawsUntilEveryRequestKnows(t *testing.T) {
	clk, u := newClocks(), &upstream{}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono})
	k := key(t, "a")
	for _, step := range []struct {
		name       string
		wall, mono time.Duration
		want       uint64
	}{
		{"no time", 0, 0, 0},
		{"an hour awake", time.Hour, time.Hour, 0},
		{"a second of slack", time.Second, 0, 0},
		{"a thaw", time.Second + time.Millisecond, 0, 1},
		{"seen by the next request as well", 0, 0, 1},
		{"backward is no thaw", -time.Hour, 0, 1},
		{"another thaw", time.Minute + time.Second, 30 * time.Second, 2},
	} {
		clk.move(step.wall, step.mono)
		if got := c.Observe().Thaws; got != step.want {
			t.Errorf("%s: %d thaws, want %d", step.name, got, step.want)
		}
	}
	clk.move(time.Minute, 0)
	get(t, c, k, u) // Get looks too, and must not use the news up
	if got := c.Observe().Thaws; got != 3 {
		t.Errorf("after a Get saw the thaw: %d, want 3", got)
	}
}

func TestBackwardJumpSoftExpiresEverything(t *testing.T) {
	clk, u := newClocks(), &upstream{}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono, RefreshInline: true})
	a, b := key(t, "a"), key(t, "b")
	get(t, c, a, u)
	get(t, c, b, u)
	clk.move(-4*time.Second, time.Second) // exactly 5 s backward: tolerated
	if n, s, _ := get(t, c, a, u); n != 1 || s != cache.Hit {
		t.Errorf("after a step within tolerance: read %d, %s; want 1, hit", n, s)
	}
	clk.move(-time.Hour, time.Second)
	for i, k := range []cache.Key{a, b} {
		if n, s, _ := get(t, c, k, u); n != uint64(i+3) || s != cache.Miss {
			t.Errorf("after a backward jump: read %d, %s; want %d, miss", n, s, i+3)
		}
		if _, s, _ := get(t, c, k, u); s != cache.Hit {
			t.Errorf("after its refresh: %s, want hit", s)
		}
	}
}

// The wall clock says that no time has passed, or less than none; the monotonic clock knows better.
func TestBackwardJumpDoesNotLengthenHard(t *testing.T) {
	clk, u := newClocks(), &upstream{}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono, RefreshInline: true})
	k := key(t, "a")
	get(t, c, k, u)
	u.fail(errUpstream)
	clk.move(-time.Hour, ttl.Hard-time.Millisecond)
	if n, _, age := get(t, c, k, u); n != 1 || age != ttl.Hard-time.Millisecond {
		t.Errorf("within hard: read %d, %v old", n, age)
	}
	clk.move(0, time.Millisecond)
	if _, err := c.Get(t.Context(), k, ttl, u.load); !errors.Is(err, errUpstream) {
		t.Errorf("past hard by the monotonic clock: error %v, want %v", err, errUpstream)
	}
}

func TestFrozenInTheMiddleOfARead(t *testing.T) {
	clk, u := newClocks(), &upstream{}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono})
	k := key(t, "a")
	u.before = func(context.Context) { clk.move(time.Hour, 0) }
	if _, err := c.Get(t.Context(), k, ttl, u.load); !errors.Is(err, secret.ErrTimeout) {
		t.Errorf("a read that froze for an hour: error %v, want %v", err, secret.ErrTimeout)
	}
	if got := u.leaked(); got != 0 {
		t.Errorf("%d values not wiped", got)
	}
}
