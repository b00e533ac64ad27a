package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func filled(b testing.TB, n int) (*cache.Cache, []cache.Key) {
	c := open(b, cache.Config{Entries: n, Bytes: 1 << 40})
	keys := make([]cache.Key, n)
	for i := range keys {
		keys[i] = key(b, fmt.Sprintf("team/service%d/database/password", i))
		h, err := c.Get(context.Background(), keys[i], long, load100)
		if err != nil {
			b.Fatal(err)
		}
		h.Release()
	}
	return c, keys
}

var long = cache.TTL{Soft: time.Hour, Hard: time.Hour}

func load100(_ context.Context, _ cache.Key) (*secret.Secret, error) {
	return &secret.Secret{Value: secret.NewValue(make([]byte, 100)), Version: "1"}, nil
}

func BenchmarkCacheGet(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000} {
		c, keys := filled(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r := rand.New(rand.NewPCG(1, rand.Uint64()))
				for pb.Next() {
					h, err := c.Get(context.Background(), keys[r.IntN(n)], long, load100)
					if err != nil {
						b.Error(err)
						return
					}
					h.Release()
				}
			})
		})
		c.Close()
	}
}

func BenchmarkCacheMemory(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		c, keys := filled(b, n)
		clear(keys)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "heap-B/entry")
		b.ReportMetric(float64(c.Stats().Bytes)/n, "counted-B/entry")
		c.Close()
	}
}

func TestHitsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c, keys := filled(t, 10)
	got := testing.AllocsPerRun(1000, func() {
		c.Observe()
		h, err := c.Get(context.Background(), keys[3], long, load100)
		if err != nil {
			t.Fatal(err)
		}
		_ = h.Secret()
		h.Release()
	})
	if got != 0 {
		t.Errorf("a hit allocates %v times, want 0", got)
	}
}
