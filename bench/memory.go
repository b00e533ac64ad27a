package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const distinctSecrets = 100_000

// cachedMemory fills a cache with distinct secrets of valueBytes bytes and measures the heap that it takes, names, order
// and all, after a collection.
func cachedMemory(ctx context.Context, _ options, r *report.Report) (err error) {
	before := heap()
	c, err := cache.New(cache.Config{Entries: distinctSecrets, Bytes: 1 << 40})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	ttl := cache.TTL{Soft: time.Hour, Hard: time.Hour}
	for i := range distinctSecrets {
		path, err := secret.ParsePath(fmt.Sprintf("team/service%d/database/password", i))
		if err != nil {
			return err
		}
		h, err := c.Get(ctx, cache.Key{Mount: "team", Name: path.String(), Path: path, Version: secret.Current}, ttl, loadValue)
		if err != nil {
			return err
		}
		h.Release()
	}
	used := heap() - before
	if s := c.Stats(); s.Loads != distinctSecrets || s.Evictions > 0 {
		return fmt.Errorf("not all secrets are cached: %+v", s)
	}
	res := report.New("cache_bytes_per_secret", float64(used)/distinctSecrets, "bytes", report.ValueAtMost(1536))
	res.Notes = []string{fmt.Sprintf("%d distinct secrets of %d bytes; live heap after a collection, without what the collector leaves room for", distinctSecrets, valueBytes)}
	return r.Add(res)
}

// heap is what is alive, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
