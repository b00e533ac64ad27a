package cache

import "github.com/keyhole-edge/keyhole/proxy/secret"

// Refresh reads k anew where the cache holds version v of it, because someone found that v does not work any more. It
// does not wait, and the entry is served meanwhile. It reports whether a read began: not where there is no such entry,
// where a read is under way, or where the last one began or failed less than a second ago, so that any number of callers
// cost the upstream no more than a read a second. With Config.RefreshInline the next Get reads.
func (c *Cache) Refresh(k Key, v secret.Version, ttl TTL, load Load) bool {
	c.mu.Lock()
	defer c.unlock()
	now := c.clock.observe()
	it, age := c.findLocked(k, ttl, now)
	if it == nil || it.secret.Version != v || age < refreshPause || it.failed != (instant{}) && it.failed.since(now) < refreshPause {
		return false
	}
	if c.cfg.RefreshInline {
		it.rejected = true
		return true
	}
	before := c.stats.Loads
	c.refreshLocked(k, ttl, now, load)
	return c.stats.Loads > before
}
