package cache

import (
	"context"
	"errors"
	"time"
)

// Get returns the secret of k, from the cache if ttl allows, else from load. The caller must Release the handle.
//
// Before the soft TTL the entry is served. Between soft and hard it is served and refreshed: in the background, unless
// Config.RefreshInline; a failed refresh leaves it, and is not tried again for a second. From the hard TTL on, and
// without an entry, Get waits for an upstream read. If that fails, or has not ended shortly before ctx's deadline, an
// entry within the stale bound is served; else the read's error is returned. For ten seconds after a read has failed so, the
// entry is served at once and the next read is made in the background, unless Config.RefreshInline. With that a caller waits
// a second at most before the hard TTL, and an upstream that was waited for in vain is left alone for ten. Of a secret that the upstream has said not
// to exist, a NegativeError is returned while ttl lets it be remembered. ctx bounds this caller's waiting only: a read
// goes on to its end, also, up to a number of such reads, when nobody waits for it any more. With Config.RefreshInline it
// goes on while anyone waits.
func (c *Cache) Get(ctx context.Context, k Key, ttl TTL, load Load) (Handle, error) {
	if k.Path.IsZero() && !k.Fields {
		return Handle{}, ErrInvalidKey
	}
	c.mu.Lock()
	now := c.clock.observe()
	it, age := c.findLocked(k, ttl, now)
	if it != nil {
		refresh := c.wantsRefreshLocked(it, age, ttl, now)
		if !refresh || !c.waitsLocked(it, age, ttl, now) {
			if refresh {
				c.refreshLocked(k, ttl, now, load)
			}
			h := c.serveLocked(it, age, ttl)
			c.unlock()
			return h, nil
		}
	} else if err := c.knownAbsentLocked(k, ttl, now); err != nil {
		c.unlock()
		return Handle{}, err
	}
	held := it != nil // not it itself: once unlocked it may go away
	good := held && age < ttl.Hard && !it.secret.Stale
	f, err := c.joinLocked(ctx, k, ttl, now, load)
	c.unlock()
	var h Handle
	if err == nil {
		h, err = c.await(ctx, f, ttl, held, good)
	}
	if err != nil && held && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
		if old, ok := c.fallBack(k, ttl, err); ok {
			return old, nil
		}
	}
	return h, err
}

// waitsLocked reports whether a refresh of an entry of that age has to end before anything is served. Past its hard TTL it
// has, unless the last one failed: who waits for an upstream that is silent waits for nothing, and each caller anew.
func (c *Cache) waitsLocked(it *item, age time.Duration, ttl TTL, now instant) bool {
	return c.cfg.RefreshInline || age >= ttl.Hard && !c.failingLocked(it, now)
}

// failingLocked reports whether a refresh of the entry failed a short while ago: before now, or before the one began that
// is under way, so that nobody waits for the last part of that either.
func (c *Cache) failingLocked(it *item, now instant) bool {
	if f := c.flights[it.key.place()][it.key]; f != nil {
		now = f.start
	}
	return it.failed != (instant{}) && it.failed.since(now) < failingFor
}

// findLocked returns the entry of k that this caller may still be served, and its age. One that nobody may leaves the cache.
func (c *Cache) findLocked(k Key, ttl TTL, now instant) (*item, time.Duration) {
	it, ok := c.lru.Get(k)
	if !ok {
		return nil, 0
	}
	age := it.age(now)
	if age >= ttl.keep() {
		c.removeLocked(it)
		return nil, 0
	}
	if age >= ttl.serve() {
		return nil, 0
	}
	return it, age
}

func (c *Cache) serveLocked(it *item, age time.Duration, ttl TTL) Handle {
	if age >= ttl.Hard || it.secret.Stale {
		c.stats.Stale++
		return it.handle(age, Stale)
	}
	c.stats.Hits++
	return it.handle(age, Hit)
}

// await waits for f. A caller with an entry to fall back on leaves while there is time to answer with it, and soon where
// that is good anyhow.
func (c *Cache) await(ctx context.Context, f *flight, ttl TTL, held, good bool) (Handle, error) {
	if at, ok := ctx.Deadline(); ok && held {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, at.Add(-staleMargin))
		defer cancel()
	}
	if good {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, inlinePatience)
		defer cancel()
	}
	return c.wait(ctx, f, ttl)
}

// fallBack serves the entry of k after its upstream failed, if there still is one: an invalidation may have come. Where
// refreshes are inline, one that was waited for in vain is not tried again for a while: nothing else would find out an
// upstream that is silent, since reads that nobody waits for are cut off.
func (c *Cache) fallBack(k Key, ttl TTL, err error) (Handle, bool) {
	c.mu.Lock()
	defer c.unlock()
	now := c.clock.observe()
	it, age := c.findLocked(k, ttl, now)
	if it == nil {
		return Handle{}, false
	}
	if c.cfg.RefreshInline && errors.Is(err, context.DeadlineExceeded) {
		it.failed, it.vain = now, true
	}
	return c.serveLocked(it, age, ttl), true
}
