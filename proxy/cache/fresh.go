package cache

import (
	"context"
	"fmt"
)

// Fresh is Get for a caller who wants what the upstream has now: a read that began after the call, whatever is held. Its
// result takes the place of what is held. If it fails the caller gets its error, never an older value. Callers at the same
// time share one read; one that was under way when they came is waited for, so that there are never two.
func (c *Cache) Fresh(ctx context.Context, k Key, ttl TTL, load Load) (Handle, error) {
	if k.Path.IsZero() && !k.Fields {
		return Handle{}, ErrInvalidKey
	}
	c.mu.Lock()
	earlier := c.flights[k.place()][k]
	c.mu.Unlock()
	if earlier != nil {
		select {
		case <-earlier.done:
		case <-ctx.Done():
			return Handle{}, fmt.Errorf("waiting for the upstream read: %w", ctx.Err())
		}
	}
	c.mu.Lock()
	f, err := c.joinLocked(ctx, k, ttl, c.clock.observe(), load)
	c.unlock()
	if err != nil {
		return Handle{}, err
	}
	return c.wait(ctx, f, ttl)
}
