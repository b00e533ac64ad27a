package cache

// Has reports whether Get would serve k without waiting for an upstream. It is no use of the entry. Where it is false a
// caller that must not wait does something else; where it is true the entry may be gone by the time of Get.
func (c *Cache) Has(k Key, ttl TTL) bool {
	c.mu.Lock()
	defer c.unlock()
	it, ok := c.lru.Peek(k)
	if !ok {
		return false
	}
	now := c.clock.observe()
	age := it.age(now)
	return age < ttl.Hard && !(c.cfg.RefreshInline && c.wantsRefreshLocked(it, age, ttl, now))
}
