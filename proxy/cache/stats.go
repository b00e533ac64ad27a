package cache

// Stats counts since New; Entries and Bytes are what is held now.
type Stats struct {
	Entries   int
	Bytes     int64  // as Cost counts
	Hits      uint64 // Gets served from the cache
	Misses    uint64 // Gets that waited for an upstream read, inline refreshes included
	Loads     uint64 // upstream reads started, refreshes included
	Evictions uint64 // entries that left for want of room
}

// Stats returns the counters, all of one moment.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries, s.Bytes = c.lru.Len(), c.bytes
	return s
}
