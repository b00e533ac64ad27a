// Package cache keeps secrets that were read from upstreams, so that most requests need no upstream. Its laws:
//
//   - A value is shared, the right to it is not: the cache knows nothing of callers and is asked only after a decision.
//   - A key carries its mount. Two mounts on one upstream object never share an entry. All paths that a mount makes of the
//     fields of one object do.
//   - Nothing is served at or past its hard TTL, except that while its upstream fails it is served up to the stale bound;
//     that renews nothing. Where the upstream itself says that there is no such secret, or denies it to us, what is held
//     leaves at once. Age is the larger of what the wall clock and the monotonic clock say
//     passed since the upstream read STARTED: a frozen process stops the monotonic clock, a stepped wall clock lies. An
//     upstream that keeps values itself says how old they came; what it calls stale renews nothing either.
//   - One upstream read per key at a time, whatever the number of waiters. No error is cached but
//     the upstream's own "no such secret", for a short time, in a list of its own that callers cannot grow.
//   - After Invalidate returns, no caller gets what was read, or began to be read, before it.
//   - Memory is bounded by entries and by bytes. Values that leave are zeroed as soon as their last reader is done.
package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Errors of Get that are the cache's own. Every other error is that of the Load or of the caller's context.
var (
	// ErrClosed: the cache was closed. The process is going down; answer that the service is unavailable.
	ErrClosed = errors.New("cache closed")
	// ErrInvalidKey: the key has no path. A defect of the caller.
	ErrInvalidKey = errors.New("cache key without a path")
	// ErrBrokenLoad: a Load panicked, or returned neither a secret nor an error. Treat it as an upstream failure; the
	// panic's stack is in the log, its value is not, since it may hold a secret.
	ErrBrokenLoad = errors.New("upstream read broke down")
)

// Config is what New needs. The zero value is usable.
type Config struct {
	Entries     int           // most entries; 0 means 10,000
	Bytes       int64         // most bytes, counted as Cost does; 0 means 64 MiB
	LoadTimeout time.Duration // deadline of one upstream read; 0 means 10 s

	// RefreshInline makes a request that finds an entry past its soft TTL wait for the refresh, and fall back to the
	// entry when the refresh fails, and cuts off reads that nobody waits for. It is for hosts that freeze between requests,
	// where background work would too.
	RefreshInline bool

	// Tag is computed once per fetched version and kept beside it, such as a keyed digest of the value for the audit
	// record. It must not keep the secret. nil leaves tags zero.
	Tag func(*secret.Secret) [16]byte

	Rand   func() float64       // in [0,1), spreads how long absences are remembered; nil means math/rand/v2
	Wall   func() time.Time     // nil means time.Now
	Mono   func() time.Duration // time that stops while the process is frozen; nil means the runtime's monotonic clock
	Logger *slog.Logger         // nil discards
}

func (c Config) withDefaults() (Config, error) {
	if c.Entries < 0 || c.Bytes < 0 || c.LoadTimeout < 0 {
		return c, errors.New("cache: Entries, Bytes and LoadTimeout must not be negative")
	}
	if c.Entries == 0 {
		c.Entries = 10_000
	}
	if c.Bytes == 0 {
		c.Bytes = 64 << 20
	}
	if c.LoadTimeout == 0 {
		c.LoadTimeout = 10 * time.Second
	}
	if c.Tag == nil {
		c.Tag = func(*secret.Secret) [16]byte { return [16]byte{} }
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Mono == nil {
		start := time.Now()
		c.Mono = func() time.Duration { return time.Since(start) }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Cache is safe for concurrent use. One lock guards all of it, so that one order of use and one count of bytes hold for
// the whole: a hit takes a fraction of a microsecond, and a few among a million entries, where memory is what is slow.
type Cache struct {
	cfg    Config
	ctx    context.Context // of every flight; done when the cache is closed
	cancel context.CancelFunc
	wg     sync.WaitGroup // flights and the sweeper

	mu sync.Mutex
	// lru is the plain single-threaded list under this package's own lock. The locking variant returns a value after
	// unlocking, when another goroutine may already be wiping it; here a reader's reference is taken under the lock
	// that found the entry. It also counts entries only, and does not call back on replacement.
	lru        *simplelru.LRU[Key, *item]
	places     map[place]*item           // heads of the chains of entries that are seen at one place
	flights    map[place]map[Key]*flight // reads that later callers may join
	negative   *simplelru.LRU[place, []absence]
	queues     map[time.Duration]*queue // of entries, by TTL.keep
	refreshing int                      // background flights
	orphans    int                      // flights whose waiters have left
	bytes      int64
	clock      clock
	dead       *item // left the cache, to be released after unlocking
	stats      Stats
	closed     bool
}

// New returns an empty cache. It must be closed.
func New(cfg Config) (*Cache, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l, err := simplelru.NewLRU[Key, *item](cfg.Entries, nil)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	n, err := simplelru.NewLRU[place, []absence](max(1, cfg.Entries/negativeShare), nil)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	c := &Cache{cfg: cfg, lru: l, negative: n, queues: map[time.Duration]*queue{}, places: map[place]*item{}, flights: map[place]map[Key]*flight{}}
	c.clock = clock{wall: cfg.Wall, mono: cfg.Mono}
	c.clock.observe()
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.wg.Go(c.sweep)
	return c, nil
}

// Close stops all reads, waits for them, and wipes every entry that nobody is reading; handles already given out stay
// valid until they are released. Get fails with ErrClosed from then on.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	c.Flush()
	return nil
}
