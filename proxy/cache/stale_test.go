package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

var staleTTL = cache.TTL{Soft: time.Minute, Hard: 5 * time.Minute, Stale: time.Hour}

// try is get with bounds of its own, and an error where there is no value.
func try(t testing.TB, c *cache.Cache, k cache.Key, ttl cache.TTL, u *upstream) (n uint64, s cache.State, err error) {
	t.Helper()
	h, err := c.Get(t.Context(), k, ttl, u.load)
	if err != nil {
		return 0, "", err
	}
	defer h.Release()
	return check(t, k, h.Secret()), h.State(), nil
}

func warm(t testing.TB, c *cache.Cache, k cache.Key, ttl cache.TTL, u *upstream) {
	t.Helper()
	if _, _, err := try(t, c, k, ttl, u); err != nil {
		t.Fatal(err)
	}
}

func TestStaleWhileTheUpstreamFails(t *testing.T) {
	for name, inline := range map[string]bool{"behind": false, "inline": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := &upstream{}
				c := open(t, cache.Config{RefreshInline: inline})
				k := key(t, "a")
				warm(t, c, k, staleTTL, u)
				u.fail(errUpstream)
				time.Sleep(staleTTL.Hard)
				h, err := c.Get(t.Context(), k, staleTTL, u.load)
				if err != nil || h.State() != cache.Stale || h.Age() != staleTTL.Hard {
					t.Fatalf("past hard: %s, %v old, %v; want stale, %v old", h.State(), h.Age(), err, staleTTL.Hard)
				}
				h.Release()
				for range 100 { // nothing is asked of a failing upstream for a second, and nobody waits for it
					if n, s, err := try(t, c, k, staleTTL, u); n != 1 || s != cache.Stale {
						t.Fatalf("read %d, %s, %v; want 1, stale", n, s, err)
					}
				}
				if got := u.count(); got != 2 {
					t.Errorf("%d upstream reads, want 2", got)
				}
				// Serving stale renews nothing: the bound is counted from the one read that succeeded.
				time.Sleep(staleTTL.Stale - staleTTL.Hard - time.Millisecond)
				if n, s, err := try(t, c, k, staleTTL, u); n != 1 || s != cache.Stale {
					t.Errorf("just within the bound: read %d, %s, %v; want 1, stale", n, s, err)
				}
				time.Sleep(time.Millisecond)
				if _, _, err := try(t, c, k, staleTTL, u); !errors.Is(err, errUpstream) {
					t.Errorf("at the bound: %v, want %v", err, errUpstream)
				}
				synctest.Wait() // the sweep comes at that moment, too
				if got := u.leaked(); got != 0 {
					t.Errorf("%d values left in memory past their bound", got)
				}
				u.fail(nil)
				if n, s, _ := try(t, c, k, staleTTL, u); s != cache.Miss {
					t.Errorf("healed: read %d, %s; want a miss", n, s)
				}
			})
		})
	}
}

// Past the hard TTL the upstream is asked first, always: a stale answer is for when it fails.
func TestStaleIsTheSecondChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{})
		k := key(t, "a")
		warm(t, c, k, staleTTL, u)
		time.Sleep(staleTTL.Hard)
		if n, s, _ := try(t, c, k, staleTTL, u); n != 2 || s != cache.Miss {
			t.Errorf("read %d, %s; want 2, miss", n, s)
		}
	})
}

// A caller who gives up makes no failure of the upstream: who comes next gets what it answers, and is not served stale.
func TestStaleIsNotForWhoComesAfterTheImpatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{before: func(ctx context.Context) {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}}
		c := open(t, cache.Config{})
		k := key(t, "a")
		warm(t, c, k, staleTTL, u)
		time.Sleep(staleTTL.Hard)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if h, err := c.Get(ctx, k, staleTTL, u.load); err == nil {
			h.Release()
		}
		synctest.Wait()
		if n, s, err := try(t, c, k, staleTTL, u); n != 2 || s != cache.Miss {
			t.Errorf("read %d, %s, %v; want 2, miss", n, s, err)
		}
		if got := c.Stats().Failures; got != 0 {
			t.Errorf("%d failures of the upstream, want 0", got)
		}
	})
}

// A request that may not have stale values gets none, and takes those of others out of the cache.
func TestStaleGoesByTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{})
		k := key(t, "a")
		warm(t, c, k, staleTTL, u)
		u.fail(errUpstream)
		time.Sleep(staleTTL.Hard)
		if _, _, err := try(t, c, k, ttl, u); !errors.Is(err, errUpstream) {
			t.Errorf("without a stale bound: %v, want %v", err, errUpstream)
		}
		if got := u.leaked(); got != 0 {
			t.Errorf("%d values left", got)
		}
	})
}

// Only the upstream's word about the secret itself tells against what is held; every other error is a failure.
func TestWhatPurges(t *testing.T) {
	for _, tt := range []struct {
		err   error
		purge bool
	}{
		{secret.ErrNotFound, true},
		{secret.ErrDenied, true},
		{secret.ErrUnavailable, false},
		{secret.ErrThrottled, false},
		{secret.ErrTimeout, false},
		{secret.ErrTooLarge, false},
		{context.DeadlineExceeded, false},
		{errUpstream, false},
	} {
		for name, wait := range map[string]time.Duration{"past soft": staleTTL.Soft, "past hard": staleTTL.Hard} {
			t.Run(fmt.Sprint(tt.err, ", ", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					u := &upstream{}
					c := open(t, cache.Config{})
					k := key(t, "a")
					warm(t, c, k, staleTTL, u)
					u.fail(fmt.Errorf("reading: %w", tt.err))
					time.Sleep(wait)
					_, _, _ = try(t, c, k, staleTTL, u) // past soft this one is still served and refreshes behind
					synctest.Wait()
					n, _, err := try(t, c, k, staleTTL, u)
					if tt.purge && (!errors.Is(err, tt.err) || u.leaked() != 0 || c.Stats().Purges != 1) {
						t.Errorf("got read %d, %v, %d values held; want the error and nothing held", n, err, u.leaked())
					}
					if !tt.purge && n != 1 {
						t.Errorf("got %v, want what is held", err)
					}
				})
			})
		}
	}
}

func TestNeverStaleAfterAnInvalidation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{})
		k := key(t, "a")
		warm(t, c, k, staleTTL, u)
		u.fail(errUpstream)
		time.Sleep(staleTTL.Hard)
		u.before = func(context.Context) { c.Invalidate(secret.Exactly(k.Path)) } // while the failing read is under way
		if _, _, err := try(t, c, k, staleTTL, u); !errors.Is(err, errUpstream) {
			t.Errorf("invalidated during the read: %v, want %v", err, errUpstream)
		}
	})
}

// A caller with a deadline gets the stale value while there is time to answer with it; one who has gone away gets nothing.
func TestStaleBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{})
		k := key(t, "a")
		warm(t, c, k, staleTTL, u)
		time.Sleep(staleTTL.Hard)
		u.before = func(ctx context.Context) { <-ctx.Done() }
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		h, err := c.Get(ctx, k, staleTTL, u.load)
		if err != nil || h.State() != cache.Stale || ctx.Err() != nil || time.Since(start) < 2*time.Second {
			t.Fatalf("after %v: %s, %v; want stale just before the deadline", time.Since(start), h.State(), err)
		}
		h.Release()
		time.Sleep(2 * time.Second)
		gone, leave := context.WithCancel(t.Context())
		a := make(chan error, 1)
		go func() {
			_, err := c.Get(gone, k, staleTTL, u.load)
			a <- err
		}()
		synctest.Wait()
		leave()
		if err := <-a; !errors.Is(err, context.Canceled) {
			t.Errorf("gone away: %v, want %v", err, context.Canceled)
		}
	})
}

// Of those who ask of an upstream that is silent the first waits, and after it has failed nobody does: the upstream is
// asked behind their backs, until it is heard. Where background work freezes it is asked in the time of one of them, later.
func TestSilentUpstreamIsWaitedForOnce(t *testing.T) {
	for name, inline := range map[string]bool{"behind": false, "inline": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := &upstream{}
				c := open(t, cache.Config{RefreshInline: inline})
				k := key(t, "a")
				warm(t, c, k, staleTTL, u)
				time.Sleep(staleTTL.Hard)
				u.before = func(ctx context.Context) { <-ctx.Done() }
				ask := func() time.Duration {
					start := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					h, err := c.Get(ctx, k, staleTTL, u.load)
					if err != nil || h.State() != cache.Stale {
						t.Fatalf("%s, %v; want stale", h.State(), err)
					}
					h.Release()
					return time.Since(start)
				}
				if d := ask(); d != 9800*time.Millisecond {
					t.Errorf("the first waited %v", d)
				}
				time.Sleep(200 * time.Millisecond)
				before := c.Stats().Loads
				for i := range 40 {
					time.Sleep(time.Second)
					if d := ask(); d != 0 {
						t.Fatalf("%d: waited %v", i, d)
					}
					if inline {
						return
					}
				}
				if n := c.Stats().Loads - before; n != 4 {
					t.Errorf("%d reads in 40 s, want 4 of ten seconds", n)
				}
				time.Sleep(30 * time.Second) // the last failure is long past
				if d := ask(); d != 9800*time.Millisecond {
					t.Errorf("half a minute later: waited %v", d)
				}
			})
		})
	}
}

// A frozen process does not take the failure before the frost for one of a moment ago.
func TestThawAsksAgain(t *testing.T) {
	clk, u := newClocks(), &upstream{}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono})
	k := key(t, "a")
	warm(t, c, k, staleTTL, u)
	clk.pass(staleTTL.Hard)
	u.fail(errUpstream)
	if _, s, err := try(t, c, k, staleTTL, u); s != cache.Stale {
		t.Fatalf("%s, %v; want stale", s, err)
	}
	u.fail(nil)
	clk.move(10*time.Minute, 0)
	if _, s, _ := try(t, c, k, staleTTL, u); s != cache.Miss {
		t.Errorf("after a frost: %s, want a miss", s)
	}
}

// A refresh in the middle of which the process was frozen is no failure of the upstream: nothing is served stale for it,
// neither while it is under way still nor after it.
func TestFrozenRefresh(t *testing.T) {
	for name, ended := range map[string]bool{"under way": false, "over": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clk, u := newClocks(), &upstream{}
				c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono})
				k := key(t, "a")
				warm(t, c, k, staleTTL, u)
				gate := make(chan struct{})
				var calls atomic.Int32
				u.before = func(context.Context) {
					if calls.Add(1) == 1 {
						<-gate
					}
				}
				clk.pass(staleTTL.Soft)
				if _, s, err := try(t, c, k, staleTTL, u); s != cache.Hit {
					t.Fatalf("%s, %v; want a hit", s, err)
				}
				synctest.Wait() // the refresh is at the gate
				clk.move(10*time.Minute, 0)
				if ended {
					close(gate)
					synctest.Wait()
				}
				if _, s, err := try(t, c, k, staleTTL, u); s != cache.Miss {
					t.Errorf("after a frost: %s, %v; want a miss", s, err)
				}
				if !ended {
					close(gate)
					synctest.Wait()
				}
				if _, s, err := try(t, c, k, staleTTL, u); s != cache.Hit || u.count() != 3 {
					t.Errorf("then: %s, %v after %d reads; want a hit after 3", s, err, u.count())
				}
			})
		})
	}
}

// What may not be kept as long as others leaves memory in its own time, wherever it stands in the order of use.
func TestExpiryOfMixedBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{})
		warm(t, c, key(t, "a"), staleTTL, u)
		warm(t, c, key(t, "b"), ttl, u)
		warm(t, c, key(t, "c"), staleTTL, u)
		time.Sleep(ttl.Hard + time.Minute + time.Second)
		synctest.Wait()
		if got := u.leaked(); got != 2 {
			t.Errorf("%d values in memory, want the 2 that may be stale", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := u.leaked(); got != 0 {
			t.Errorf("%d values in memory, want none", got)
		}
	})
}

func TestHeld(t *testing.T) {
	u := &upstream{}
	c := open(t, cache.Config{})
	if _, _, ok := c.Held(key(t, "a")); ok {
		t.Error("an empty cache holds something")
	}
	get(t, c, key(t, "a"), u)
	if v, _, ok := c.Held(key(t, "a")); !ok || v != "1" {
		t.Errorf("held %q, %v; want version 1", v, ok)
	}
}

// A read that an invalidation cut off tells nothing of what was read after it: that is no answer of an upstream that fails.
func TestAFailureBeforeAnInvalidationIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{})
		k := key(t, "a")
		short := cache.TTL{Soft: time.Second, Hard: 2 * time.Second, Stale: time.Hour}
		go func() {
			_, err := c.Get(t.Context(), k, short, func(context.Context, cache.Key) (*secret.Secret, error) {
				time.Sleep(1500 * time.Millisecond)
				return nil, errUpstream
			})
			if !errors.Is(err, errUpstream) {
				t.Errorf("who asked before: %v", err)
			}
		}()
		synctest.Wait()
		c.Invalidate(secret.Exactly(k.Path))
		warm(t, c, k, short, u)
		time.Sleep(short.Hard)
		if n, s, err := try(t, c, k, short, u); n != 2 || s != cache.Miss {
			t.Errorf("read %d, %s, %v; want 2, miss", n, s, err)
		}
	})
}

// Where refreshes are inline, an upstream that is silent costs one caller in ten seconds its patience: a second while the
// entry is good, and past its hard TTL what the caller has, but for a margin.
func TestSilentUpstreamWhereRefreshesAreInline(t *testing.T) {
	for name, tt := range map[string]struct {
		age, waits time.Duration
		state      cache.State
	}{
		"past the soft TTL": {staleTTL.Soft, time.Second, cache.Hit},
		"past the hard TTL": {staleTTL.Hard, 2800 * time.Millisecond, cache.Stale},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := &upstream{}
				c := open(t, cache.Config{RefreshInline: true})
				k := key(t, "a")
				warm(t, c, k, staleTTL, u)
				u.before = func(ctx context.Context) { <-ctx.Done() }
				time.Sleep(tt.age)
				for i, waits := range []time.Duration{tt.waits, 0, 0, tt.waits} {
					if i == 3 {
						time.Sleep(10 * time.Second)
					}
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					began := time.Now()
					h, err := c.Get(ctx, k, staleTTL, u.load)
					if err != nil || h.State() != tt.state || time.Since(began) != waits {
						t.Fatalf("caller %d: %s, %v after %v; want %s after %v", i, h.State(), err, time.Since(began), tt.state, waits)
					}
					h.Release()
					cancel()
				}
				if got := c.Stats().Loads; got != 3 {
					t.Errorf("%d upstream reads, want 3", got)
				}
			})
		})
	}
}
