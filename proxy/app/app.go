// Package app turns a configuration into the running parts of Keyhole: it is the only wiring there is. What it may build
// is passed in as Drivers; the lists are the packages app/full (server and CLI) and app/edge (functions).
//
// Laws: New makes no network call and reads only what the configuration names; a key of the configuration that this
// build cannot honour is an error, never ignored; whatever New opened, Close closes, in the reverse order.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/httpapi"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
	"github.com/keyhole-edge/keyhole/wasm"
)

// Options are what the process decides, not the configuration. The zero value is usable.
type Options struct {
	Surface string               // what records call requests; "" means "native"
	Getenv  func(string) string  // nil: os.Getenv
	Wall    func() time.Time     // nil: time.Now
	Mono    func() time.Duration // nil: the runtime's monotonic clock
	Logger  *slog.Logger         // nil: discard
	Level   *slog.LevelVar       // of Logger, set by log.level; nil: it stays
	Beside  *Beside              // the one program that is served; nil: whoever has a token

	// Prefetch names secrets that Start reads into the cache, as the variable PrefetchVariable does.
	Prefetch string
	// ChecksLater says that the caller waits for App.Settled before the first request: New then leaves to it what takes long
	// and hardly ever fails.
	ChecksLater bool

	// Freezes says that the process is frozen whenever no request is being answered, so that nothing is left for later.
	Freezes bool
}

// App is everything behind the listeners.
type App struct {
	Proxy  *proxy.Proxy
	Native *httpapi.Native
	AWS    *httpapi.AWS

	drivers    Drivers
	options    Options
	log        *slog.Logger
	audit      *audit.Log
	jwks       atomic.Pointer[identity.KeySet]
	tls        atomic.Pointer[tls.Config] // of the native listener, nil where it has none or is not open
	inFlight   atomic.Int64               // limits.max_in_flight
	invocation invocation
	sources    map[string]secret.Upstream // by name; never changes
	closers    []func() error
	closed     chan struct{}
	settled    func() error
	prefetch   []secret.Path
	retiring   sync.WaitGroup // of what a reload has replaced

	mu      sync.Mutex // held by a reload, so that there is one at a time
	config  *config.Config
	policy  *wasm.Chain
	issuers issuers
	native  *boundListener // nil where it is not open

	copying sync.Mutex // held by a backup, so that there is one at a time
}

// New builds the parts. The App must be closed. Start comes before the first request.
func New(ctx context.Context, c *config.Config, d Drivers, o Options) (_ *App, err error) {
	if err := d.Unsupported(c); err != nil {
		return nil, err
	}
	if o.Beside == nil && len(c.Identity.Function.Scope) > 0 {
		return nil, errors.New("identity.function: this is for the Lambda extension; remove the key")
	}
	if o.Level != nil {
		if err := o.Level.UnmarshalText([]byte(c.Log.Level)); err != nil {
			return nil, fmt.Errorf("log.level: %w", err)
		}
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Wall == nil {
		o.Wall = wall
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &App{config: c, drivers: d, options: o, log: o.Logger, closed: make(chan struct{})}
	a.prefetch = a.prefetchNames(o.Prefetch)
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	b := a.builder(c)
	b.later = o.ChecksLater
	a.settled = sync.OnceValue(b.checkAll)
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	if b.later {
		go func() { _ = a.settled() }() // Settled has its error
	}
	return a, nil
}

// Start reads the shared state, finishes what an earlier process left unfinished, and reads ahead what Options.Prefetch
// names, for no longer than two seconds: without that it starts all the same.
func (a *App) Start(ctx context.Context) error {
	if err := a.Proxy.Start(ctx); err != nil {
		return err
	}
	a.warm(ctx)
	return nil
}

// PolicyDigest names what decides.
func (a *App) PolicyDigest() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.policy.Digest()
}

// Close closes every part, the audit log last but for its sink, so that it is sealed. No reload may be under way.
func (a *App) Close() error {
	if a.closers == nil {
		return nil
	}
	close(a.closed)
	_ = a.settled()
	a.retiring.Wait()
	var errs []error
	for _, c := range slices.Backward(a.closers) {
		errs = append(errs, c())
	}
	a.closers = nil
	return errors.Join(errs...)
}

// builder carries what the steps of New share.
type builder struct {
	app     *App
	env     Env
	drivers Drivers
	options Options
	later   bool           // Options.ChecksLater, and this is New
	checks  []func() error // what was left

	cursorKey [32]byte // derived from the audit key, so that cursors outlive a restart
}

func (a *App) builder(c *config.Config) *builder {
	env := Env{Config: c, Getenv: a.options.Getenv, Wall: a.options.Wall, Logger: a.options.Logger}
	return &builder{app: a, env: env, drivers: a.drivers, options: a.options}
}

func (b *builder) closing(c func() error) { b.app.closers = append(b.app.closers, c) }

func (b *builder) build(ctx context.Context) error {
	c := b.env.Config
	// The policy first: a function makes meanwhile what its keys need.
	r, err := b.ruling(ctx)
	if err != nil {
		return err
	}
	log, err := b.audit()
	if err != nil {
		return errors.Join(fmt.Errorf("audit: %w", err), r.discard(ctx, b.app))
	}
	b.app.audit = log
	b.app.policy, b.app.issuers = r.policy, r.issuers
	b.closing(func() error { return b.app.policy.Close(context.WithoutCancel(ctx)) })
	b.closing(func() error { return b.app.issuers.closeBut(nil) })
	b.app.publish(r)
	store, err := b.state()
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	mounts, err := b.mounts()
	if err != nil {
		return err
	}
	values, err := b.cache(log)
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	b.app.Proxy, err = proxy.New(proxy.Config{
		Rules: r.rules, Region: c.Region, Cache: values, State: store, Audit: log, Mounts: mounts, Check: c.State.Check, MaxBlind: c.State.MaxBlind,
		Wall: b.options.Wall, Mono: b.options.Mono, Logger: b.options.Logger,
	})
	if err != nil {
		return err
	}
	b.closing(b.app.Proxy.Close)
	b.app.Native, err = httpapi.NewNative(httpapi.Config{
		Proxy: b.app.Proxy, JWKS: b.app.publicKeys, Issuer: c.Identity.Issuer, TrustedProxies: c.Listen.TrustedProxies,
		Surface: b.options.Surface, CursorKey: b.cursorKey, Logger: b.options.Logger,
	})
	if err != nil {
		return err
	}
	b.app.AWS, err = httpapi.NewAWS(httpapi.AWSConfig{
		Proxy: b.app.Proxy, Region: c.Region, Secrets: c.Listen.AWS.Secrets, Parameters: c.Listen.AWS.Parameters, Logger: b.options.Logger,
	})
	return err
}

func (b *builder) state() (state.Store, error) {
	s, err := b.drivers.States[b.env.Config.State.Type](b.env, b.env.Config.State)
	if err == nil {
		b.closing(s.Close)
	}
	return s, err
}

func (b *builder) cache(log *audit.Log) (*cache.Cache, error) {
	c, err := cache.New(cache.Config{
		Entries: b.env.Config.Cache.Entries, Bytes: int64(b.env.Config.Cache.Bytes),
		Tag:           func(s *secret.Secret) [16]byte { return log.SecretMAC(s) },
		RefreshInline: b.options.Freezes, Wall: b.options.Wall, Mono: b.options.Mono, Logger: b.options.Logger,
	})
	if err == nil {
		b.closing(c.Close)
	}
	return c, err
}

// notLinked tells the drivers that there are as well: the one that is missed may be a default that nobody has written.
func notLinked[D any](key, name string, drivers map[string]D) error {
	return fmt.Errorf("%s: this build has no driver for %q; it has %s", key, name, strings.Join(slices.Sorted(maps.Keys(drivers)), ", "))
}
