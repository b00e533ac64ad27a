// Package proxy is the decision path, and nothing else: every secret leaves, and every change is made, through the
// methods of Proxy, whatever the deployable, the dialect or the cache state:
//
//	verify token -> revocation -> scope -> policy -> cache or upstream -> audit (acknowledged) -> release
//
// Laws. The decision comes before anything is looked up, so a caller who is denied learns nothing about what exists. The
// record is acknowledged before anything is released or changed; where it cannot be, the answer is an error. The policy
// runs on every request, cache hits included. Surfaces translate and never decide; mechanisms decide nothing either.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// Authorizer decides requests. It is called once per request and path, concurrently, and must neither keep the request
// nor do I/O.
type Authorizer interface {
	Authorize(ctx context.Context, req *policy.Request) policy.Decision
	// Digest names what decides, for records of requests that are decided path by path.
	Digest() string
}

// Config is what a Proxy is made of. Everything without a stated default is required. The caller keeps ownership of the
// mechanisms and closes them after the last request.
type Config struct {
	Rules         // what decides until SetRules replaces it
	Region string // "" is allowed
	Cache  *cache.Cache
	State  state.Store
	Audit  *audit.Log
	Mounts []Mount

	Check    time.Duration // how old a generation check may be in the mode bounded; 0 means 1 s
	MaxBlind time.Duration // how long to serve without being able to check; 0 means not at all

	Wall   func() time.Time     // nil: time.Now
	Mono   func() time.Duration // nil: time since New, monotonic
	Logger *slog.Logger         // nil: discard
}

// Proxy is the decision path. Its methods are safe for concurrent use.
type Proxy struct {
	region  string
	rules   atomic.Pointer[ruleSet]
	cache   *cache.Cache
	audit   *audit.Log
	mounts  *mountTable
	fresh   *freshness
	outbox  []*outbox
	pollers []*poller
	uses    *uses
	stop    context.CancelFunc // ends the pollers
	polling sync.WaitGroup
	started atomic.Bool
	wall    func() time.Time
	mono    func() time.Duration
	log     *slog.Logger
	pool    sync.Pool // of *transaction

	gate       gate         // what Enter admits
	unheard    atomic.Int64 // records that were not acknowledged since one was
	lent       atomic.Int64 // secret bytes of answers; see lend
	sources    *buckets
	principals *buckets
	senders    *buckets // to hooks
	exchangers *buckets // sources and principals
	failures   *failures
	replays    *identity.Replays // of hooks
	assertions *identity.Replays // of clients
}

// New validates c. It does no I/O: Start does.
func New(c Config) (*Proxy, error) {
	switch {
	case c.Cache == nil, c.State == nil, c.Audit == nil:
		return nil, errors.New("proxy: cache, state and audit are required")
	case c.Check < 0:
		return nil, errors.New("proxy: the check interval must not be negative")
	}
	if err := c.Rules.check(); err != nil {
		return nil, err
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	wall := c.Wall
	// Without the monotonic reading that time.Now adds, which Sub prefers and which stops while the process is frozen.
	c.Wall = func() time.Time { return wall().Round(0) }
	if c.Mono == nil {
		start := time.Now()
		c.Mono = func() time.Duration { return time.Since(start) }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	mounts, err := newMountTable(c.Mounts, c.Cache, c.Mono, c.Logger)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{
		region: c.Region, cache: c.Cache, audit: c.Audit, mounts: mounts, wall: c.Wall, mono: c.Mono, log: c.Logger,
		sources: newBuckets(), principals: newBuckets(), senders: newBuckets(), replays: identity.NewReplays(),
		assertions: identity.NewReplays(), exchangers: newBuckets(), failures: newFailures(),
	}
	p.rules.Store(newRuleSet(c.Rules))
	p.fresh = newFreshness(c, c.Cache)
	p.uses = newUses(p.fresh)
	p.outbox = newOutboxes(mounts, p.fresh)
	if p.pollers, err = newPollers(mounts, c.Cache, c.Logger); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return p, nil
}

// Start applies the facts that the state store holds and announces the writes that a crash left unannounced. Until it
// has succeeded, Ready fails.
func (p *Proxy) Start(ctx context.Context) error {
	if err := p.fresh.start(ctx); err != nil {
		return fmt.Errorf("reading the state store: %w", err)
	}
	for _, o := range p.outbox {
		if err := o.drain(ctx); err != nil {
			return fmt.Errorf("announcing earlier writes of upstream %s: %w", o.upstream, err)
		}
	}
	if p.started.Swap(true) {
		return nil
	}
	polling, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	for _, poller := range p.pollers {
		p.polling.Go(func() { poller.run(polling) })
	}
	return nil
}

// Ready says why the proxy cannot serve now: it has not started, the audit sink does not take records, or the state is unknown for
// longer than max_blind. It is nil when it can. There always is a policy.
func (p *Proxy) Ready() error {
	if !p.started.Load() {
		return errors.New("not started")
	}
	if err := p.audit.Healthy(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return p.fresh.ready()
}

// Close ends the polling of upstreams and waits for the checks of the state store that no request waits for. It comes after the last request and before
// the mechanisms are closed.
func (p *Proxy) Close() error {
	if p.stop != nil {
		p.stop()
		p.polling.Wait()
	}
	p.uses.close()
	p.fresh.close()
	return nil
}

// Generation is the last fact that this node has applied.
func (p *Proxy) Generation() uint64 { return p.fresh.generation() }
