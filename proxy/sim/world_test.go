package sim_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

const issuer = "https://sim.test"

// keys are made once: they cost more than a seed.
type keys struct {
	signer *identity.Signer
	set    *identity.KeySet
	audit  ed25519.PrivateKey
}

var makeKeys = sync.OnceValues(func() (*keys, error) {
	key, err := identity.GenerateSigningKey()
	if err != nil {
		return nil, err
	}
	k := &keys{}
	if k.audit, err = audit.GenerateKey(); err != nil {
		return nil, err
	}
	if k.signer, err = identity.NewSigner(key, issuer, issuer); err != nil {
		return nil, err
	}
	k.set, err = identity.NewKeySet(k.signer.PublicKey())
	return k, err
})

// caller is one who asks, with the token that it has now.
type caller struct {
	name, scopes string
	parsed       policy.Scopes
	token        string
	tokenID      string
	expires      time.Time
}

// mountAt is one mount of the node.
type mountAt struct {
	name, at string
	fields   bool // of the layout Fields: its paths end with one of fieldNames
	ttl      cache.TTL
	mode     proxy.Freshness
}

// fieldNames are those that every object has which is read through a mount of fields. All hold its value.
var fieldNames = []string{"p", "u"}

func (m *mountAt) layout() proxy.Layout {
	if m.fields {
		return proxy.Fields
	}
	return proxy.Objects
}

// world is one node and all that it depends on. What is not in life outlives the process.
type world struct {
	setup  setup
	mounts map[string]mountAt
	keys   *keys
	clock  *clock
	vault  *vault
	facts  *state.Memory
	disk   *audittest.Memory
	book   *book
	model  *model
	who    map[string]*caller
	rule   *ruling
	life   *life

	verdicts verdicts
	ctx      context.Context
	looking  atomic.Int32 // reads of the state store under way
	crowded  atomic.Bool  // several ask at once, see crowd

	mu         sync.Mutex
	vaultFault fault
	storeFault fault
	sinkFault  fault
	disturbed  instant // when a fault last began or ended
	tokens     int
	factIDs    int
	factCount  uint64
	wrong      []string
	trace      []string
}

// life is one process.
type life struct {
	*proxy.Proxy
	plug  *plug
	cache *cache.Cache
	log   *audit.Log
}

func newWorld(s setup, k *keys) (*world, error) {
	w := &world{setup: s, keys: k, clock: newClock(), disk: &audittest.Memory{}, mounts: map[string]mountAt{}, who: map[string]*caller{}}
	w.disk.Rotate(s.rotate)
	w.vault = &vault{world: w, objects: map[string][]revision{}, changed: map[string]int{}}
	w.book = &book{w: w, entries: map[string]entry{}, pairs: map[string]bool{}, intents: map[string]int{}}
	w.model = &model{w: w}
	w.rule = &ruling{}
	w.model.enact(w.rule, func() {})
	var err error
	if w.facts, err = state.NewMemory(state.MemoryConfig{Wall: w.clock.Wall}); err != nil {
		return nil, err
	}
	for _, m := range s.mounts {
		w.mounts[m.name] = m
	}
	for _, p := range principals {
		c := p
		if c.parsed, err = policy.ParseScopes(c.scopes); err != nil {
			return nil, err
		}
		w.who[c.name] = &c
		if err := w.mint(&c); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"a/k0", "a/k1", "a/k2", "b/k0", "b/k1"} {
		w.vault.commit(name, "first", false, 0)
	}
	w.disturbed = w.clock.now()
	return w, nil
}

// mint gives the caller a new token.
func (w *world) mint(c *caller) error {
	w.mu.Lock()
	w.tokens++
	id := fmt.Sprintf("token-%d", w.tokens)
	w.mu.Unlock()
	now := w.clock.Wall()
	token, err := w.keys.signer.Sign(identity.Claims{
		Subject: c.name, ClientID: "sim", TokenID: id, Scopes: c.parsed, Trust: "local", OriginIssuer: issuer,
		IssuedAt: now, Expires: now.Add(time.Hour),
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	c.token, c.tokenID, c.expires = token, id, now.Add(time.Hour)
	return err
}

// boot starts a process from what is on the disks.
func (w *world) boot() error {
	l := &life{plug: &plug{after: -1}}
	fixed := func() float64 { return w.setup.spread }
	logger := slog.New(slog.NewJSONHandler(logScan{w}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	verifier, err := identity.New(identity.Config{Issuer: issuer, Audience: issuer, Keys: w.keys.set, Wall: w.clock.Wall})
	if err != nil {
		return err
	}
	l.log, err = audit.New(audit.Config{
		Sink: &sinkLink{w.disk, l.plug, w}, Key: w.keys.audit, Wall: w.clock.Wall, Logger: logger, CheckpointEvery: 20,
	})
	if err != nil {
		return err
	}
	l.cache, err = cache.New(cache.Config{
		Entries: w.setup.entries, Bytes: w.setup.bytes, RefreshInline: w.setup.inline, Rand: fixed,
		Wall: w.clock.Wall, Mono: w.clock.Mono, Logger: logger,
		Tag: func(s *secret.Secret) [16]byte { return l.log.SecretMAC(s) },
	})
	if err != nil {
		return err
	}
	var g *guard.Guard
	if w.setup.guarded {
		if g, err = guard.New(guard.Config{Mono: w.clock.Mono, Rand: fixed, Concurrency: 8}); err != nil {
			return err
		}
	}
	c := proxy.Config{
		Rules: proxy.Rules{Verifier: verifier, Authorizer: &judge{w, w.rule}, Labels: w.rule.labels()}, Cache: l.cache, Audit: l.log,
		State: &storeLink{w.facts, l.plug, w}, Check: w.setup.check, MaxBlind: w.setup.maxBlind,
		Wall: w.clock.Wall, Mono: w.clock.Mono, Logger: logger,
	}
	for _, m := range w.setup.mounts {
		c.Mounts = append(c.Mounts, proxy.Mount{
			Path: mustPath(m.name), Upstream: &view{w.vault, l.plug, m.name}, UpstreamName: "vault", At: m.at, TTL: m.ttl,
			Freshness: m.mode, Guard: g, Layout: m.layout(),
		})
	}
	if l.Proxy, err = proxy.New(c); err != nil {
		return err
	}
	w.life = l
	return l.Start(context.Background())
}

// bury ends what is left of a process, whose plug is pulled, and keeps the disks as they were when it was.
func (w *world) bury() {
	l := w.life
	l.plug.pull()
	left := w.disk.Crash()
	_ = l.Proxy.Close()
	_ = l.cache.Close()
	_ = l.log.Close()
	w.disk = left
}

// stop ends the process in an orderly way.
func (w *world) stop() error {
	l := w.life
	if err := l.Proxy.Close(); err != nil {
		return err
	}
	if err := l.cache.Close(); err != nil {
		return err
	}
	synctest.Wait()
	if n, _ := w.vault.alive(); n > 0 {
		w.violated("I7", "%d values are left in memory after the end", n)
	}
	return l.log.Close()
}

// restart boots with everything mended: a process that does not start serves nobody.
func (w *world) restart() error {
	w.mend()
	time.Sleep(time.Second)
	if err := w.boot(); err != nil {
		return fmt.Errorf("the node does not start: %w", err)
	}
	w.checkOutbox()
	return nil
}

// crowd runs several callers at once. In a bubble no time passes while anybody waits for a mutex, so whoever holds one must
// not be kept waiting by the state store: for as long as the crowd lasts it fails at once where it would take long.
func (w *world) crowd(n int, do func(i int)) {
	for w.looking.Load() > 0 {
		w.clock.pass(time.Second)
	}
	w.crowded.Store(true)
	defer w.crowded.Store(false)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

// append adds a fact, whoever made it.
func (w *world) append(f state.Fact) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seq, err := w.facts.Append(context.Background(), f)
	w.factCount = max(w.factCount, seq)
	return seq, err
}

func (w *world) lastFact() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.factCount
}

// fact is one that another node writes.
func (w *world) fact(k state.Kind, subject string) (id string) {
	w.mu.Lock()
	w.factIDs++
	id = fmt.Sprintf("other-%d", w.factIDs)
	w.mu.Unlock()
	now := w.clock.Wall()
	f := state.Fact{ID: id, Kind: k, Subject: subject, At: now}
	if k == state.Invalidation {
		f.ExpiresAt = now.Add(3*time.Hour + w.setup.maxBlind)
	}
	if _, err := w.append(f); err != nil {
		w.violated("simulator", "appending a fact: %v", err)
	}
	return id
}

// violated says that a law was broken. The first ones count.
func (w *world) violated(law, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, law+": "+fmt.Sprintf(format, args...))
}

func (w *world) broken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.wrong) > 0
}

func mustPath(s string) secret.Path {
	p, err := secret.ParsePath(s)
	if err != nil {
		panic(err)
	}
	return p
}
