package cache_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Whatever makes an entry leave, its value is zeroed at once when nobody reads it, and else by the last reader.
func TestLeavingWipes(t *testing.T) {
	for name, leave := range map[string]func(*testing.T, *cache.Cache, cache.Key, *upstream){
		"eviction": func(t *testing.T, c *cache.Cache, _ cache.Key, u *upstream) {
			get(t, c, key(t, "b"), u)
			get(t, c, key(t, "c"), u)
		},
		"replacement": func(t *testing.T, c *cache.Cache, k cache.Key, u *upstream) {
			time.Sleep(ttl.Soft)
			get(t, c, k, u)
			synctest.Wait()
		},
		"expiry": func(t *testing.T, _ *cache.Cache, _ cache.Key, _ *upstream) {
			time.Sleep(ttl.Hard + time.Minute + time.Second)
			synctest.Wait()
		},
		"expiry seen by a Get": func(t *testing.T, c *cache.Cache, k cache.Key, u *upstream) {
			time.Sleep(ttl.Hard)
			get(t, c, k, u)
			synctest.Wait() // the sweep comes at that moment, too
		},
		"invalidation": func(t *testing.T, c *cache.Cache, k cache.Key, _ *upstream) {
			if got := c.Invalidate(secret.Exactly(k.Path)); got != 1 {
				t.Errorf("dropped %d entries, want 1", got)
			}
		},
		"invalidation of all below": func(t *testing.T, c *cache.Cache, _ cache.Key, _ *upstream) {
			c.Invalidate(pattern(t, "te*/**"))
		},
		"flush": func(_ *testing.T, c *cache.Cache, _ cache.Key, _ *upstream) { c.Flush() },
		"close": func(_ *testing.T, c *cache.Cache, _ cache.Key, _ *upstream) { c.Close() },
	} {
		for _, reading := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reading=%v", name, reading), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					u := &upstream{}
					c := open(t, cache.Config{Entries: 2})
					k := key(t, "team/db")
					h, err := c.Get(t.Context(), k, ttl, u.load)
					if err != nil {
						t.Fatal(err)
					}
					s := h.Secret()
					if !reading {
						h.Release()
					}
					check(t, k, s)
					leave(t, c, k, u)
					if reading {
						check(t, k, s)
						h.Release()
						h.Release() // the same variable: nothing happens
					}
					if !wiped(s) {
						t.Error("the value is still in memory")
					}
				})
			})
		}
	}
}

func TestInvalidateDropsWhatMatchesOnly(t *testing.T) {
	u := &upstream{}
	c := open(t, cache.Config{})
	old := key(t, "team/db")
	old.Version = "1"
	newer := old
	newer.Version = "2"
	for _, k := range []cache.Key{old, newer, key(t, "team/db"), key(t, "team/db/x"), key(t, "team/dbx"), key(t, "other")} {
		get(t, c, k, u)
	}
	for _, step := range []struct {
		pattern string
		want    int
	}{{"team/none", 0}, {"team/db", 3}, {"team/db", 0}, {"team/*", 1}, {"**/x", 1}, {"other/**", 0}, {"**", 1}} {
		if got := c.Invalidate(pattern(t, step.pattern)); got != step.want {
			t.Errorf("Invalidate(%s) dropped %d, want %d", step.pattern, got, step.want)
		}
	}
	if got := c.Stats(); got.Entries != 0 || got.Bytes != 0 || u.leaked() != 0 {
		t.Errorf("left: %+v, %d values", got, u.leaked())
	}
}

func TestReleasingACopyPanics(t *testing.T) {
	u := &upstream{}
	c := open(t, cache.Config{})
	h, err := c.Get(t.Context(), key(t, "a"), cache.TTL{}, u.load)
	if err != nil {
		t.Fatal(err)
	}
	twin := h
	h.Release()
	defer func() {
		if recover() == nil {
			t.Error("a second release went unnoticed")
		}
	}()
	twin.Release()
}

// Readers, evictions, replacements and invalidations at once: every answer is whole, belongs to its key, and is not
// older than an invalidation that its caller could know of.
func TestReadersNeverSeeWipedOrMixedValues(t *testing.T) {
	clk, u := newClocks(), &upstream{size: 1024}
	c := open(t, cache.Config{Entries: 6, LoadTimeout: 1000 * time.Hour, Wall: clk.Wall, Mono: clk.Mono})
	var keys []cache.Key
	for i := range 8 {
		k := key(t, fmt.Sprintf("team%d/s%d", i%2, i/2))
		if i >= 6 {
			k.Mount = "other"
		}
		keys = append(keys, k)
	}
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for range 3000 {
				k := keys[r.IntN(len(keys))]
				var floor uint64
				switch r.IntN(12) {
				case 0:
					floor = u.count()
					c.Invalidate(secret.Exactly(k.Path))
				case 1:
					floor = u.count()
					c.Invalidate(pattern(t, []string{"team0/**", "team1/**"}[k.Path.String()[4]-'0']))
				case 2:
					clk.pass(ttl.Soft)
				case 3:
					clk.pass(ttl.Hard)
				}
				h, err := c.Get(t.Context(), k, ttl, u.load)
				if err != nil {
					t.Errorf("Get: %v", err)
					return
				}
				if n := check(t, k, h.Secret()); n <= floor {
					t.Errorf("read %d served after an invalidation at read %d", n, floor)
				}
				h.Release()
			}
		})
	}
	wg.Wait()
	c.Close()
	if got := u.leaked(); got != 0 {
		t.Errorf("%d values not wiped", got)
	}
}
