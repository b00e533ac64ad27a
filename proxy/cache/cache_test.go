package cache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func TestGetServesWithinSoft(t *testing.T) {
	clk, u := newClocks(), &upstream{}
	tags := 0
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono, Tag: func(s *secret.Secret) (tag [16]byte) {
		tags++
		copy(tag[:], s.Value.Reveal())
		return tag
	}})
	k := key(t, "team/db")
	h, err := c.Get(t.Context(), k, ttl, u.load)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := h.State(), cache.Miss; got != want {
		t.Errorf("first state = %s, want %s", got, want)
	}
	h.Release()
	began := clk.Wall()
	clk.pass(ttl.Soft - time.Millisecond)
	h, err = c.Get(t.Context(), k, ttl, u.load)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	if got, want := check(t, k, h.Secret()), uint64(1); got != want {
		t.Errorf("served read %d, want %d", got, want)
	}
	if got, want := h.State(), cache.Hit; got != want {
		t.Errorf("second state = %s, want %s", got, want)
	}
	if got, want := h.Age(), ttl.Soft-time.Millisecond; got != want {
		t.Errorf("age = %v, want %v", got, want)
	}
	if got := h.FetchedAt(); !got.Equal(began) {
		t.Errorf("fetched at %v, want %v", got, began)
	}
	if got, want := h.Tag(), [16]byte(h.Secret().Value.Reveal()); got != want || tags != 1 {
		t.Errorf("tag = %x computed %d times, want %x once", got, tags, want)
	}
	want := cache.Stats{Entries: 1, Bytes: cache.Cost(k, h.Secret()), Hits: 1, Misses: 1, Loads: 1}
	if got := c.Stats(); got != want {
		t.Errorf("stats = %+v, want %+v", got, want)
	}
}

func TestPastSoftIsServedAndRefreshedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{})
		k := key(t, "a")
		get(t, c, k, u)
		u.before = func(ctx context.Context) { sleep(ctx, time.Second) }
		time.Sleep(ttl.Soft)
		for range 3 {
			if n, s, age := get(t, c, k, u); n != 1 || s != cache.Hit || age != ttl.Soft {
				t.Errorf("past soft: read %d, %s, %v old; want 1, hit, %v", n, s, age, ttl.Soft)
			}
		}
		time.Sleep(2 * time.Second)
		if got := u.count(); got != 2 {
			t.Fatalf("%d upstream reads, want 2", got)
		}
		// The age counts from the start of the read, which took one second.
		if n, s, age := get(t, c, k, u); n != 2 || s != cache.Hit || age != 2*time.Second {
			t.Errorf("after the refresh: read %d, %s, %v old; want 2, hit, 2s", n, s, age)
		}
	})
}

func TestFailedRefreshKeepsTheEntryUntilHard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{})
		k := key(t, "a")
		get(t, c, k, u)
		u.fail(errUpstream)
		time.Sleep(ttl.Soft)
		// Asked 100 times a second for ten seconds, a failing upstream is read once a second.
		for range 1000 {
			if n, _, _ := get(t, c, k, u); n != 1 {
				t.Fatalf("served read %d, want 1", n)
			}
			synctest.Wait()
			time.Sleep(10 * time.Millisecond)
		}
		if got := u.count(); got != 11 {
			t.Errorf("%d upstream reads, want 11", got)
		}
		time.Sleep(ttl.Hard - ttl.Soft - 10*time.Second)
		if _, err := c.Get(t.Context(), k, ttl, u.load); !errors.Is(err, errUpstream) {
			t.Errorf("past hard with a failing upstream: error %v, want %v", err, errUpstream)
		}
		synctest.Wait() // the sweep comes at that moment, too
		if got := u.leaked(); got != 0 {
			t.Errorf("%d values left in memory past their hard TTL", got)
		}
		u.fail(nil)
		if n, s, _ := get(t, c, k, u); n <= 1 || s != cache.Miss {
			t.Errorf("errors are not cached: got read %d, %s", n, s)
		}
	})
}

func TestRefreshInline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{RefreshInline: true})
		k := key(t, "a")
		get(t, c, k, u)
		time.Sleep(ttl.Soft)
		if n, s, _ := get(t, c, k, u); n != 2 || s != cache.Miss {
			t.Errorf("past soft: read %d, %s; want 2, miss", n, s)
		}
		u.fail(errUpstream)
		time.Sleep(ttl.Soft)
		if n, s, age := get(t, c, k, u); n != 2 || s != cache.Hit || age != ttl.Soft {
			t.Errorf("refresh failed: read %d, %s, %v old; want 2, hit, %v", n, s, age, ttl.Soft)
		}
		before := u.count()
		get(t, c, k, u)
		if got := u.count(); got != before {
			t.Errorf("read the failing upstream again at once")
		}
		// An invalidation that comes during the failing refresh forbids falling back.
		time.Sleep(ttl.Soft)
		u.before = func(context.Context) { c.Invalidate(secret.Exactly(k.Path)) }
		if _, err := c.Get(t.Context(), k, ttl, u.load); !errors.Is(err, errUpstream) {
			t.Errorf("invalidated during a failing refresh: error %v, want %v", err, errUpstream)
		}
	})
}

func TestMountsNeverShare(t *testing.T) {
	u := &upstream{}
	c := open(t, cache.Config{})
	a := key(t, "shared/name")
	keys := []cache.Key{a, a, a, a, a}
	keys[1].Mount, keys[2].Version, keys[3].Fields, keys[4].Name = "other", "2", true, "elsewhere"
	for range 2 {
		for i, k := range keys {
			if n, _, _ := get(t, c, k, u); n != uint64(i+1) {
				t.Errorf("%+v: served read %d, want %d", k, n, i+1)
			}
		}
	}
}

func TestZeroHardKeepsNothing(t *testing.T) {
	u := &upstream{}
	c := open(t, cache.Config{})
	for range 2 {
		h, err := c.Get(t.Context(), key(t, "a"), cache.TTL{}, u.load)
		if err != nil {
			t.Fatal(err)
		}
		h.Release()
	}
	if got := u.count(); got != 2 {
		t.Errorf("%d upstream reads, want 2", got)
	}
	if got := c.Stats().Entries; got != 0 || u.leaked() != 0 {
		t.Errorf("%d entries and %d values kept, want none", got, u.leaked())
	}
}

func TestRefusals(t *testing.T) {
	for _, cfg := range []cache.Config{{Entries: -1}, {Bytes: -1}, {LoadTimeout: -1}} {
		if _, err := cache.New(cfg); err == nil {
			t.Errorf("New(%+v) accepted", cfg)
		}
	}
	u := &upstream{}
	c := open(t, cache.Config{})
	if _, err := c.Get(t.Context(), cache.Key{Mount: "m"}, ttl, u.load); !errors.Is(err, cache.ErrInvalidKey) {
		t.Errorf("Get without a path: error %v, want %v", err, cache.ErrInvalidKey)
	}
	c.Close()
	if _, err := c.Get(t.Context(), key(t, "a"), ttl, u.load); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Get after Close: error %v, want %v", err, cache.ErrClosed)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// A key cut out of a request must not keep the request in memory for as long as the entry lives.
func TestKeysAreCopied(t *testing.T) {
	c := open(t, cache.Config{})
	asked := key(t, "a/b")
	_, err := c.Get(t.Context(), asked, ttl, func(_ context.Context, k cache.Key) (*secret.Secret, error) {
		if k != asked {
			t.Errorf("load got %+v, want %+v", k, asked)
		}
		for _, s := range [][2]string{{k.Name, asked.Name}, {k.Path.String(), asked.Path.String()}, {string(k.Version), string(asked.Version)}} {
			if unsafe.StringData(s[0]) == unsafe.StringData(s[1]) {
				t.Errorf("%q is not a copy", s[0])
			}
		}
		return nil, errUpstream
	})
	if !errors.Is(err, errUpstream) {
		t.Error(err)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
