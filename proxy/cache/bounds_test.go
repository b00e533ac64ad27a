package cache_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Whatever is asked for, in whatever order, memory stays within the bounds, the books agree with what is held, exactly
// what is held is not wiped, and nothing is served at or past its hard TTL.
func TestBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := rapid.IntRange(1, 8).Draw(rt, "entries")
		bytes := rapid.Int64Range(500, 20_000).Draw(rt, "bytes")
		clk, u := newClocks(), &upstream{}
		c, err := cache.New(cache.Config{Entries: entries, Bytes: bytes, Wall: clk.Wall, Mono: clk.Mono, RefreshInline: true})
		if err != nil {
			rt.Fatal(err)
		}
		defer c.Close()
		began := map[uint64]time.Duration{} // true time at which each read started
		var now time.Duration
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "op") {
			case 0:
				c.Invalidate(pattern(t, rapid.SampledFrom([]string{"a/*", "**", "b/1", "a/2"}).Draw(rt, "pattern")))
			case 1:
				d := time.Duration(rapid.IntRange(0, 400).Draw(rt, "seconds")) * time.Second
				now += d
				switch rapid.IntRange(0, 2).Draw(rt, "how") {
				case 0:
					clk.pass(d)
				case 1:
					clk.move(d, 0) // frozen
				case 2:
					clk.move(-d, d) // stepped back
				}
			case 2:
				c.Flush()
			default:
				k := key(t, rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "dir")+"/"+fmt.Sprint(rapid.IntRange(0, 5).Draw(rt, "name")))
				k.Version = secret.Version(fmt.Sprint(rapid.IntRange(1, 2).Draw(rt, "version")))
				u.size = rapid.SampledFrom([]int{64, 512, 4096, 16_000}).Draw(rt, "size")
				h, err := c.Get(t.Context(), k, ttl, func(ctx context.Context, k cache.Key) (*secret.Secret, error) {
					began[u.count()+1] = now
					return u.load(ctx, k)
				})
				if err != nil {
					rt.Fatalf("Get: %v", err)
				}
				// A freeze and a step back between two looks can hide each other; that step is part of the stated bound.
				if age := now - began[check(t, k, h.Secret())]; age != 0 && h.State() == cache.Miss {
					rt.Fatalf("a miss %v old", age)
				}
				if h.Age() >= ttl.Hard {
					rt.Fatalf("served at an age of %v", h.Age())
				}
				h.Release()
			}
			s := c.Stats()
			if s.Entries > entries || s.Bytes > bytes || (s.Entries == 0) != (s.Bytes == 0) {
				rt.Fatalf("%d entries of %d bytes, bounds are %d and %d", s.Entries, s.Bytes, entries, bytes)
			}
			if got := u.leaked(); got != s.Entries {
				rt.Fatalf("%d values in memory, %d entries", got, s.Entries)
			}
		}
		c.Flush()
		if s := c.Stats(); s.Bytes != 0 || s.Entries != 0 {
			rt.Fatalf("after Flush: %+v", s)
		}
	})
}

func TestTooLargeForTheCacheIsServedNotKept(t *testing.T) {
	u := &upstream{size: 4096}
	c := open(t, cache.Config{Bytes: 4096})
	for want := uint64(1); want <= 2; want++ {
		if n, s, _ := get(t, c, key(t, "a"), u); n != want || s != cache.Miss {
			t.Errorf("read %d, %s; want %d, miss", n, s, want)
		}
	}
	if got := u.leaked(); got != 0 {
		t.Errorf("%d values kept", got)
	}
}

func TestLeastRecentlyUsedIsEvicted(t *testing.T) {
	u := &upstream{}
	c := open(t, cache.Config{Entries: 2})
	for _, p := range []string{"a", "b", "a", "c"} { // b is the one to go
		get(t, c, key(t, p), u)
	}
	for p, want := range map[string]cache.State{"a": cache.Hit, "c": cache.Hit} {
		if _, s, _ := get(t, c, key(t, p), u); s != want {
			t.Errorf("%s: %s, want %s", p, s, want)
		}
	}
	if got := c.Stats().Evictions; got != 1 {
		t.Errorf("%d evictions, want 1", got)
	}
	if _, s, _ := get(t, c, key(t, "b"), u); s != cache.Miss {
		t.Errorf("b: %s, want miss", s)
	}
}

// Everything of variable size counts, so that metadata cannot grow memory beyond the bound.
func TestCostCountsAllParts(t *testing.T) {
	k := key(t, "team/db")
	base := cache.Cost(k, &secret.Secret{})
	for name, s := range map[string]*secret.Secret{
		"value":    {Value: secret.NewValue(make([]byte, 1000))},
		"field":    {Fields: []secret.Field{{Name: strings.Repeat("n", 500), Value: secret.NewValue(make([]byte, 500))}}},
		"metadata": {Metadata: map[string]string{strings.Repeat("k", 500): strings.Repeat("v", 500)}},
		"version":  {Version: secret.Version(strings.Repeat("v", 1000))},
	} {
		if got := cache.Cost(k, s) - base; got < 1000 {
			t.Errorf("%s: 1000 bytes count %d", name, got)
		}
	}
}
