package cache

// Stats counts since New; Entries and Bytes are what is held now.
type Stats struct {
	Entries   int
	Bytes     int64  // as Cost counts
	Negatives int    // absences remembered now
	Hits      uint64 // Gets served from the cache within the hard TTL
	Stale     uint64 // Gets served past the hard TTL because the upstream failed
	Negative  uint64 // Gets answered by a remembered absence
	Misses    uint64 // Gets that waited for an upstream read, inline refreshes included
	Loads     uint64 // upstream reads started, refreshes included
	Failures  uint64 // upstream reads that failed, but for absences
	Purges    uint64 // entries that left because the upstream said that there is no such secret, or denied it
	Evictions uint64 // entries that left for want of room
}

// Stats returns the counters, all of one moment.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries, s.Bytes, s.Negatives = c.lru.Len(), c.bytes, c.negative.Len()
	return s
}
