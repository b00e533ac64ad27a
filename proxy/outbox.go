package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// outbox announces the acknowledged writes of one upstream: to this node's cache at once, and to every other node as
// facts. A write stays in the upstream's outbox until its facts are in the log, so that neither can be had without the
// other, whatever dies in between.
type outbox struct {
	upstream string
	box      secret.Outbox // nil: the upstream remembers nothing, so a fact that fails is the caller's error
	mounts   []*mount      // every mount of the upstream: an object may be seen through several
	fresh    *freshness

	owes   atomic.Bool                  // an announcement failed and is to be made when the store is back
	failed atomic.Pointer[cache.Moment] // when one that was tried again failed last

	mu sync.Mutex // one drain at a time, so that a change is announced once
}

func newOutboxes(t *mountTable, f *freshness) []*outbox {
	byName := map[string]*outbox{}
	var all []*outbox
	for _, m := range t.all {
		if m.writer == nil {
			continue
		}
		o := byName[m.UpstreamName]
		if o == nil {
			o = &outbox{upstream: m.UpstreamName, fresh: f}
			o.box, _ = m.Upstream.(secret.Outbox)
			byName[m.UpstreamName], all = o, append(all, o)
		}
		o.mounts = append(o.mounts, m)
		m.outbox = o
	}
	return all
}

// patterns are those under which the object can be seen.
func (o *outbox) patterns(name string) []secret.Pattern {
	var seen []secret.Pattern
	for _, m := range o.mounts {
		if p, ok := m.pattern(name); ok && !slices.Contains(seen, p) {
			seen = append(seen, p)
		}
	}
	return seen
}

// forget drops what this node has cached of the object. It cannot fail.
func (o *outbox) forget(name string) { o.fresh.forget(o.patterns(name)) }

// announce tells of one write: this node first, then the log.
func (o *outbox) announce(ctx context.Context, name string) error {
	if o.box == nil {
		return o.fresh.announce(ctx, o.patterns(name))
	}
	o.forget(name)
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
			if err := o.fresh.append(ctx, o.patterns(c.Name)); err != nil {
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
