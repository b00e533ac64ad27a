package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const (
	maxRefreshing = 64               // background reads at one time; entries past soft that find no room try on the next hit
	maxOrphans    = 64               // reads at one time that go on although all who waited have left
	refreshPause  = time.Second      // after a failed refresh of an entry
	failingFor    = 10 * time.Second // after a failed refresh of an entry it is served stale while the next is under way

	// inlinePatience is how long a caller waits for a refresh, where those are inline, while what is held may be served
	// anyhow: enough for a vault that is well, and a new connection to it.
	inlinePatience = time.Second

	// staleMargin is how long before its deadline a caller stops waiting for a read when there is an entry to fall back
	// on: what remains is for the record and the answer.
	staleMargin = 200 * time.Millisecond
)

// flight is one upstream read.
type flight struct {
	key    Key
	load   Load
	cancel context.CancelFunc
	start  instant
	epoch  uint64
	ttl    TTL

	done chan struct{} // closed after the three below are set
	item *item
	age  time.Duration
	err  error

	// Guarded by Cache.mu.
	waiters    int
	background bool // goes on without waiters
	orphan     bool // was begun for waiters, who have all left; goes on
	detached   bool // invalidated or abandoned: nobody joins any more and the result is not cached
	abandoned  bool // its callers gave up before it ended
	landed     bool
}

// wantsRefreshLocked reports whether the entry is past its soft TTL, was rejected or was stale when it came, and a refresh
// did not fail just now.
func (c *Cache) wantsRefreshLocked(it *item, age time.Duration, ttl TTL, now instant) bool {
	due := age >= min(ttl.Soft, ttl.Hard) || it.rejected || it.epoch != c.clock.epoch || it.secret.Stale
	pause := refreshPause
	if it.vain {
		pause = failingFor // each try costs its caller all the time that it has
	}
	return due && (it.failed == instant{} || it.failed.since(now) >= pause)
}

// refreshLocked starts a background read of k unless one is under way already or too many others are.
func (c *Cache) refreshLocked(k Key, ttl TTL, now instant, load Load) {
	if c.flights[k.place()][k] != nil || c.refreshing >= maxRefreshing || c.closed {
		return
	}
	c.refreshing++
	c.startLocked(k, ttl, now, load).background = true
}

// joinLocked makes the caller one more waiter of the flight of k, starting it if there is none.
func (c *Cache) joinLocked(ctx context.Context, k Key, ttl TTL, now instant, load Load) (*flight, error) {
	if c.closed {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("before the upstream read: %w", err)
	}
	f := c.flights[k.place()][k]
	if f != nil && c.frozenLocked(f, now) {
		c.detachLocked(f)
		f = nil
	}
	if f == nil {
		f = c.startLocked(k, ttl, now, load)
	}
	f.waiters++
	c.stats.Misses++
	return f, nil
}

func (c *Cache) startLocked(k Key, ttl TTL, now instant, load Load) *flight {
	k = k.own()
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.LoadTimeout)
	f := &flight{key: k, load: load, cancel: cancel, start: now, epoch: c.clock.epoch, ttl: ttl, done: make(chan struct{})}
	at := k.place()
	if c.flights[at] == nil {
		c.flights[at] = map[Key]*flight{}
	}
	c.flights[at][k] = f
	c.stats.Loads++
	c.wg.Go(func() { c.fly(ctx, f) })
	return f
}

// fly reads and lands. Landing is deferred because a Load may even end the goroutine.
func (c *Cache) fly(ctx context.Context, f *flight) {
	defer f.cancel()
	var it *item
	err := ErrBrokenLoad
	defer func() { c.land(f, it, err) }()
	it, err = c.read(ctx, f)
}

// read calls the Load. A panic becomes an error: it is one upstream's defect, and on a goroutine of the cache's own it
// would take the process and every other request with it.
func (c *Cache) read(ctx context.Context, f *flight) (it *item, err error) {
	var s *secret.Secret
	defer func() {
		if recover() == nil {
			return
		}
		if s != nil {
			s.Wipe()
		}
		it, err = nil, ErrBrokenLoad
		c.cfg.Logger.Error("upstream read panicked", "mount", f.key.Mount, "path", f.key.Path.String(), "stack", stack())
	}()
	s, err = f.load(ctx, f.key)
	switch {
	case err != nil:
		if s != nil {
			s.Wipe()
		}
		return nil, err
	case s == nil:
		return nil, ErrBrokenLoad
	}
	return &item{key: f.key, secret: s, tag: c.cfg.Tag(s), read: f.start.before(s.Age), epoch: f.epoch, keep: f.ttl.keep(), cost: Cost(f.key, s)}, nil
}

// land hands the result to the waiters, and to the cache unless the flight was detached.
func (c *Cache) land(f *flight, it *item, err error) {
	c.mu.Lock()
	now := c.clock.observe()
	if err == nil {
		f.age = it.age(now)
		if err = c.refusedLocked(f, it, now); err != nil {
			it.secret.Wipe()
			it = nil
		}
	}
	if err != nil {
		c.failedLocked(f, now, err)
		if c.closed {
			err = ErrClosed
		}
	} else {
		it.refs.Add(int32(f.waiters))
		switch {
		case !f.detached && !c.closed && f.ttl.Hard > 0 && it.cost <= c.cfg.Bytes:
			c.storeLocked(it)
		case f.waiters == 0:
			it.secret.Wipe()
		}
		if !f.detached {
			c.presentLocked(f.key)
		}
	}
	if f.background {
		c.refreshing--
	}
	if f.orphan {
		c.orphans--
	}
	c.detachLocked(f)
	c.sweepLocked(now)
	f.item, f.err, f.landed = it, err, true
	c.unlock()
	close(f.done) // last: what this read replaced is wiped before anyone has the result
}

// frozenLocked reports whether the process was frozen in the middle of the read: what it gets was true long ago.
func (c *Cache) frozenLocked(f *flight, now instant) bool {
	return f.start.since(now) > c.cfg.LoadTimeout
}

// errFrozen is no failure of the upstream.
var errFrozen = fmt.Errorf("%w: the read took longer by the wall clock than reads may", secret.ErrTimeout)

// refusedLocked says why what a read brought is none.
func (c *Cache) refusedLocked(f *flight, it *item, now instant) error {
	if c.frozenLocked(f, now) {
		return errFrozen
	}
	if !it.secret.Stale {
		return nil
	}
	if held, ok := c.lru.Peek(f.key); ok && !f.detached && held.age(now) <= f.age {
		return errStaler
	}
	it.failed = now // it is no refresh: the next is tried after a pause
	return nil
}

// Errors of an upstream that keeps values itself and cannot have newer ones.
var (
	errStaler   = fmt.Errorf("%w: it has nothing newer than what is held", secret.ErrUnavailable)
	errTooStale = fmt.Errorf("%w: what it has is stale, and older than may be served", secret.ErrUnavailable)
)

// failedLocked draws the consequences of a read that failed. Only the upstream's own word that there is no such secret,
// or that we may not have it, tells against what is held; of everything else nothing follows but to wait a moment.
func (c *Cache) failedLocked(f *flight, now instant, err error) {
	if f.abandoned || errors.Is(err, errFrozen) {
		return // it was cut off: that is no failure of the upstream, and callers must not bring one about
	}
	absent := definite(err) && errors.Is(err, secret.ErrNotFound)
	if !absent {
		c.stats.Failures++
	}
	old, held := c.lru.Peek(f.key)
	switch {
	case f.detached:
		return // who came after the cut may have stored better news already
	case definite(err):
		if held {
			c.removeLocked(old)
			c.stats.Purges++
		}
		if absent && !c.closed {
			c.absentLocked(f, now)
		}
		return
	}
	if held {
		old.failed, old.vain = now, false
	}
}

// definite reports whether err is the upstream's own word about the secret, and not a failure to answer: what is both,
// such as the lack of a whole mount, is a failure.
func definite(err error) bool {
	for _, failure := range []error{secret.ErrUnavailable, secret.ErrThrottled, secret.ErrTimeout} {
		if errors.Is(err, failure) {
			return false
		}
	}
	return errors.Is(err, secret.ErrNotFound) || errors.Is(err, secret.ErrDenied)
}

// wait waits for f, as one of its counted waiters, no longer than ctx lasts. What its upstream itself calls stale is given
// within the bound for that alone; everything else is the upstream's word, however old.
func (c *Cache) wait(ctx context.Context, f *flight, ttl TTL) (Handle, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		if c.leave(f) {
			return Handle{}, fmt.Errorf("waiting for the upstream read: %w", ctx.Err())
		}
	}
	if f.err != nil {
		return Handle{}, f.err
	}
	h := Handle{it: f.item, age: f.age, state: Miss}
	switch stale := f.item.secret.Stale; {
	case stale && f.age >= ttl.serve():
		h.Release()
		return Handle{}, errTooStale
	case stale:
		h.state = Stale
	}
	return h, nil
}

// leave takes a waiter off f. The read goes on without waiters: who asks again finds it under way or its value cached, and
// an upstream that is silent is found out, however little patience callers have. It is cut off where there are too many of
// that kind, where nothing would come of it, or where the host freezes. leave reports false when f has landed: the waiter
// was given a reference and must take it.
func (c *Cache) leave(f *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.landed {
		return false
	}
	f.waiters--
	switch {
	case f.waiters > 0 || f.background || f.orphan:
	case !f.detached && !c.closed && !c.cfg.RefreshInline && c.orphans < maxOrphans:
		f.orphan = true
		c.orphans++
	default:
		c.detachLocked(f)
		f.abandoned = true
		f.cancel()
	}
	return true
}

// detachLocked keeps later callers from joining f, and f from storing its result.
func (c *Cache) detachLocked(f *flight) {
	if f.detached {
		return
	}
	f.detached = true
	at := f.key.place()
	m := c.flights[at]
	delete(m, f.key)
	if len(m) == 0 {
		delete(c.flights, at)
	}
}

// stack lists where the goroutine is, without the arguments that a full trace shows.
func stack() []string {
	var pc [32]uintptr
	var out []string
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc[:])])
	for {
		f, more := frames.Next()
		out = append(out, f.Function+":"+strconv.Itoa(f.Line))
		if !more {
			return out
		}
	}
}
