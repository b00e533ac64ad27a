package cache

import "time"

const sweepEvery = time.Minute

// storeLocked puts it in place of any entry with its key, and evicts the least recently used ones until both bounds hold.
// The caller has checked that it alone is within them.
func (c *Cache) storeLocked(it *item) {
	if old, ok := c.lru.Peek(it.key); ok {
		c.removeLocked(old)
	}
	for c.lru.Len() >= c.cfg.Entries || c.bytes+it.cost > c.cfg.Bytes {
		_, oldest, ok := c.lru.GetOldest()
		if !ok {
			break
		}
		c.removeLocked(oldest)
		c.stats.Evictions++
	}
	it.refs.Add(1)
	at := it.key.place()
	c.lru.Add(it.key, it)
	c.bytes += it.cost
	head := c.places[at]
	it.next = head
	if head != nil {
		head.prev = it
	}
	c.places[at] = it
	c.enqueueLocked(it)
}

// removeLocked takes an entry out; unlock gives up the cache's reference.
func (c *Cache) removeLocked(it *item) {
	c.lru.Remove(it.key)
	c.dequeueLocked(it)
	c.bytes -= it.cost
	at := it.key.place()
	if it.next != nil {
		it.next.prev = it.prev
	}
	switch {
	case it.prev != nil:
		it.prev.next = it.next
	case it.next != nil:
		c.places[at] = it.next
	default:
		delete(c.places, at)
	}
	it.prev, it.next = nil, c.dead
	c.dead = it
}

// unlock unlocks mu and then releases what was removed, so that nobody waits for the wiping of large values.
func (c *Cache) unlock() {
	dead := c.dead
	c.dead = nil
	c.mu.Unlock()
	for dead != nil {
		it := dead
		dead, it.next = it.next, nil
		it.release()
	}
}

// sweep sweeps in the background, for a cache that nothing is stored in any more.
func (c *Cache) sweep() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-t.C:
		}
		c.mu.Lock()
		c.sweepLocked(c.clock.observe())
		c.unlock()
	}
}
