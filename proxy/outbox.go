package proxy

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// outbox announces the acknowledged writes of one upstream: to this node's cache at once, and to every other node as
// facts. A write stays in the upstream's outbox until its facts are in the log, so that neither can be had without the
// other, whatever dies in between.
type outbox struct {
	upstream string
	box      secret.Outbox // nil: the upstream remembers nothing, so a fact that fails is the caller's error
	mounts   []*mount      // every mount of the upstream: an object may be seen through several
	fresh    *freshness
	wall     func() time.Time
	keep     time.Duration // how long an invalidation can matter

	owes   atomic.Bool                  // an announcement failed and is to be made when the store is back
	failed atomic.Pointer[cache.Moment] // when one that was tried again failed last

	mu sync.Mutex // one drain at a time, so that a change is announced once
}

func newOutboxes(t *mountTable, f *freshness, wall func() time.Time) []*outbox {
	byName := map[string]*outbox{}
	var all []*outbox
	var keep time.Duration
	for _, m := range t.all {
		keep = max(keep, m.TTL.Hard, m.TTL.Stale)
		if m.writer == nil {
			continue
		}
		o := byName[m.UpstreamName]
		if o == nil {
			o = &outbox{upstream: m.UpstreamName, fresh: f, wall: wall}
			o.box, _ = m.Upstream.(secret.Outbox)
			byName[m.UpstreamName], all = o, append(all, o)
		}
		o.mounts = append(o.mounts, m)
		m.outbox = o
	}
	for _, o := range all {
		o.keep = keep + f.maxBlind + 5*time.Minute
	}
	return all
}

// forget drops what this node has cached of the object. It cannot fail.
func (o *outbox) forget(name string) {
	for _, m := range o.mounts {
		if p, ok := m.pattern(name); ok {
			o.fresh.cache.Invalidate(p)
		}
	}
}

// announce tells of one write: this node first, then the log.
func (o *outbox) announce(ctx context.Context, name string) error {
	o.forget(name)
	if o.box == nil {
		return o.append(ctx, name)
	}
	err := o.drain(ctx)
	o.owes.Store(err != nil)
	return err
}

// catchUp announces what could not be announced before. Its failure is not the failure of whoever comes by.
func (o *outbox) catchUp(ctx context.Context) {
	if !o.owes.Load() || o.fresh.within(o.failed.Load(), o.fresh.interval) || !o.owes.CompareAndSwap(true, false) {
		return
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	if o.drain(ctx) != nil {
		now := o.fresh.cache.Observe()
		o.failed.Store(&now) // not every request need try
		o.owes.Store(true)
	}
}

// drain announces all that is pending, this process's writes and those of an earlier one.
func (o *outbox) drain(ctx context.Context) error {
	if o.box == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		changes, err := o.box.Pending(ctx)
		if err != nil {
			return fmt.Errorf("reading the outbox: %w", err)
		}
		for _, c := range changes {
			if err := o.append(ctx, c.Name); err != nil {
				return err
			}
			if err := o.box.Settle(ctx, c.ID); err != nil {
				return fmt.Errorf("settling the outbox: %w", err)
			}
		}
		if len(changes) == 0 {
			return nil
		}
	}
}

// append writes one fact for each pattern under which the object can be seen, and applies them here.
func (o *outbox) append(ctx context.Context, name string) error {
	seen := map[string]bool{}
	for _, m := range o.mounts {
		p, ok := m.pattern(name)
		if !ok || seen[p.String()] {
			continue
		}
		seen[p.String()] = true
		now := o.wall().UTC()
		_, err := o.fresh.store.Append(ctx, state.Fact{
			ID: audit.NewID(now), Kind: state.Invalidation, Subject: p.String(), At: now, ExpiresAt: now.Add(o.keep),
		})
		if err != nil {
			return fmt.Errorf("announcing a write: %w", err)
		}
	}
	return o.fresh.sync(ctx)
}
