package proxy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// complaintPause is the least time between two lines of one mount about reads that fail.
const complaintPause = 10 * time.Second

// complaint tells the log why reads of a mount fail. Callers are told only that they do, and with stale values to serve not
// even that.
type complaint struct {
	mono func() time.Duration

	mu     sync.Mutex
	told   bool
	last   time.Duration
	untold int // failures since
}

// about tells of err, unless it is the upstream's answer that there is no such secret, no failure of the upstream, or
// follows another too closely.
func (c *complaint) about(ctx context.Context, m *mount, k cache.Key, err error) {
	switch {
	case err == nil, errors.Is(err, guard.ErrOpen), errors.Is(err, context.Canceled),
		errors.Is(err, secret.ErrNotFound) && !errors.Is(err, secret.ErrUnavailable):
		return
	}
	c.mu.Lock()
	now := c.mono()
	if c.told && now-c.last < complaintPause {
		c.untold++
		c.mu.Unlock()
		return
	}
	untold := c.untold
	c.told, c.last, c.untold = true, now, 0
	c.mu.Unlock()
	m.log.LogAttrs(ctx, slog.LevelWarn, "a read of the upstream failed", append(attrs(
		"upstream", m.UpstreamName, "path", k.Path.String(), "error", err.Error()), slog.Int("untold", untold))...)
}
