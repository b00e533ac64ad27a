package cache

// Has reports whether Get would answer for k without waiting for an upstream, be it that there is none. It is no use of
// the entry. Where it is false a caller that must not wait does something else; where it is true the entry may be gone by
// the time of Get.
func (c *Cache) Has(k Key, ttl TTL) bool {
	c.mu.Lock()
	defer c.unlock()
	now := c.clock.observe()
	if it, ok := c.lru.Peek(k); ok {
		if age := it.age(now); age < ttl.keep() {
			return age < ttl.Hard && !c.cfg.RefreshInline || !c.wantsRefreshLocked(it, age, ttl, now)
		}
	}
	if ttl.Negative <= 0 {
		return false
	}
	known, _ := c.negative.Peek(k.Path)
	for i := range known {
		if a := &known[i]; a.key == k && c.validLocked(a, now) {
			return true
		}
	}
	return false
}
