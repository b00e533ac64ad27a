package cache

import (
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Held returns version and time of the entry of k, whatever its age; ok is false where there is none. A Load asks it
// whether what it read is older than what it would replace.
func (c *Cache) Held(k Key) (v secret.Version, created time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	it, ok := c.lru.Peek(k)
	if !ok {
		return "", time.Time{}, false
	}
	return it.secret.Version, it.secret.CreatedAt, true
}
