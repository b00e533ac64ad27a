package cache

// Has reports whether Get would answer for k without waiting for an upstream, be it that there is none. It is no use of
// the entry. Where it is false a caller that must not wait does something else; where it is true the entry may be gone by
// the time of Get.
func (c *Cache) Has(k Key, ttl TTL) bool {
	c.mu.Lock()
	defer c.unlock()
	now := c.clock.observe()
	if it, ok := c.lru.Peek(k); ok {
		if age := it.age(now); age < ttl.serve() {
			return !c.wantsRefreshLocked(it, age, ttl, now) || !c.waitsLocked(it, age, ttl, now)
		}
	}
	known, _ := c.negative.Peek(k.place())
	return c.absenceLocked(known, k, ttl, now) != nil
}
