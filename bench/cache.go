package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// cacheHits measures a hit among ever more entries, in random order.
func cacheHits(ctx context.Context, o options, r *report.Report) error {
	var first float64
	for _, n := range []int{100, 10_000, 1_000_000} {
		m, err := cacheHit(ctx, o, n)
		if err != nil {
			return err
		}
		if first == 0 {
			first = m.value
		}
		res := m.result(fmt.Sprintf("cache_get_%d", n), "ns/op", report.Budget{})
		res.Against = "a Go map of the same size and keys under a sync.RWMutex, without age, order or references"
		res.Notes = []string{fmt.Sprintf("%v allocs/op, %.2f times cache_get_100", m.allocs, m.value/first)}
		if err := r.Add(res); err != nil {
			return err
		}
	}
	return nil
}

var errNoHit = errors.New("not a hit")

func cacheHit(ctx context.Context, o options, n int) (m measured, err error) {
	c, err := cache.New(cache.Config{Entries: n, Bytes: 1 << 40})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	ttl := cache.TTL{Soft: time.Hour, Hard: time.Hour}
	keys := make([]cache.Key, n)
	plain := plainCache{entries: make(map[cache.Key]*secret.Secret, n)}
	for i := range keys {
		path, err := secret.ParsePath(fmt.Sprintf("team/service%d/database/password", i))
		if err != nil {
			return m, err
		}
		keys[i] = cache.Key{Mount: "team", Name: path.String(), Path: path, Version: secret.Current}
		h, err := c.Get(ctx, keys[i], ttl, loadValue)
		if err != nil {
			return m, err
		}
		h.Release()
		plain.entries[keys[i]], _ = loadValue(ctx, keys[i])
	}
	before := c.Stats()
	m, err = micro{func(b *testing.B) error {
		r := rand.New(rand.NewPCG(1, 2))
		b.ReportAllocs()
		for b.Loop() {
			h, err := c.Get(ctx, keys[r.IntN(n)], ttl, loadValue)
			if err != nil || h.Secret() == nil {
				return errors.Join(errNoHit, err)
			}
			h.Release()
		}
		return nil
	}, func(b *testing.B) error {
		r := rand.New(rand.NewPCG(1, 2))
		for b.Loop() {
			if plain.get(keys[r.IntN(n)]) == nil {
				return errNoHit
			}
		}
		return nil
	}}.measure(ctx, o)
	if after := c.Stats(); err == nil && (after.Loads != before.Loads || after.Hits == before.Hits || after.Evictions > 0) {
		err = fmt.Errorf("%w: %+v before, %+v after", errNoHit, before, after)
	}
	return m, err
}

func loadValue(context.Context, cache.Key) (*secret.Secret, error) {
	return &secret.Secret{Value: secret.NewValue(make([]byte, valueBytes)), Version: "1"}, nil
}

// plainCache is what a cache without laws would be.
type plainCache struct {
	mu      sync.RWMutex
	entries map[cache.Key]*secret.Secret
}

func (p *plainCache) get(k cache.Key) *secret.Secret {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.entries[k]
}
