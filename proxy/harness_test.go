package proxy_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "canary-7d1f2c9e"

// vault is an upstream that counts what it is asked and fails on demand.
type vault struct {
	mu      sync.Mutex
	secrets map[string]string
	version int
	fail    error
	pending []secret.Change
	reads   atomic.Int64
	gate    chan struct{} // where not nil, reads wait until it is closed
}

func (v *vault) Read(ctx context.Context, name string, _ secret.Version) (*secret.Secret, error) {
	v.reads.Add(1)
	if v.gate != nil {
		select {
		case <-v.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fail != nil {
		return nil, v.fail
	}
	text, ok := v.secrets[name]
	if !ok {
		return nil, secret.ErrNotFound
	}
	return &secret.Secret{Value: secret.NewValue([]byte(text)), Version: "1", CreatedAt: time.Unix(1, 0)}, nil
}

func (v *vault) Close() error { return nil }

func (v *vault) Write(_ context.Context, name string, w secret.Write) (secret.Version, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fail != nil {
		return "", false, v.fail
	}
	_, had := v.secrets[name]
	v.secrets[name] = string(w.Secret.Value.Reveal())
	v.version++
	v.pending = append(v.pending, secret.Change{ID: uint64(v.version), Name: name})
	return "2", !had, nil
}

func (v *vault) Pending(context.Context) ([]secret.Change, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]secret.Change(nil), v.pending...), nil
}

func (v *vault) Settle(_ context.Context, ids ...uint64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range ids {
		for i, c := range v.pending {
			if c.ID == id {
				v.pending = append(v.pending[:i], v.pending[i+1:]...)
				break
			}
		}
	}
	return nil
}

func (v *vault) set(name, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[name] = text
}

// judge is a policy that a test steers, and that counts.
type judge struct {
	effect atomic.Uint32
	calls  atomic.Int64
	last   atomic.Pointer[policy.Request]
}

func (j *judge) Authorize(_ context.Context, r *policy.Request) policy.Decision {
	j.calls.Add(1)
	copied := *r
	j.last.Store(&copied)
	return policy.Decision{Effect: policy.Effect(j.effect.Load()), Rule: "judge/said", Digest: j.Digest()}
}

func (j *judge) Digest() string { return "sha256:" + strings.Repeat("0", 64) }

// store is a state store that fails on demand.
type store struct {
	state.Store
	gate      atomic.Pointer[chan struct{}] // where not nil, reads wait until it is closed
	reads     atomic.Int64
	appends   atomic.Int64
	fail      atomic.Bool
	compacted atomic.Bool // for everything but the snapshot
}

func (s *store) Since(ctx context.Context, seq uint64) ([]state.Fact, uint64, error) {
	s.reads.Add(1)
	if gate := s.gate.Load(); gate != nil {
		select {
		case <-*gate:
		case <-ctx.Done():
			return nil, 0, state.ErrUnavailable
		}
	}
	switch {
	case s.fail.Load():
		return nil, 0, state.ErrUnavailable
	case s.compacted.Load() && seq != 0:
		return nil, 0, state.ErrCompacted
	}
	return s.Store.Since(ctx, seq)
}

func (s *store) Append(ctx context.Context, f state.Fact) (uint64, error) {
	s.appends.Add(1)
	if s.fail.Load() {
		return 0, state.ErrUnavailable
	}
	return s.Store.Append(ctx, f)
}

// clock is a wall and a monotonic clock that move when told.
type clock struct {
	mu   sync.Mutex
	wall time.Time
	mono time.Duration
}

func (c *clock) pass(wall, mono time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.wall.Add(wall), c.mono+mono
}

func (c *clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clock) Mono() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mono
}

// harness is a proxy with every mechanism real but the vault and the policy, which a test steers.
type harness struct {
	*proxy.Proxy
	vault  *vault
	judge  *judge
	store  *store
	sink   *gatedSink
	cache  *cache.Cache
	clock  *clock
	log    *audit.Log
	signer *identity.Signer
	key    ed25519.PrivateKey
}

// gatedSink lets a test hold writes back.
type gatedSink struct {
	*audittest.Memory
	mu      sync.Mutex
	entered chan struct{} // where not nil, a write announces itself here and waits for leave
	leave   chan struct{}
}

func (s *gatedSink) hold() (entered, leave chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entered, s.leave = make(chan struct{}, 16), make(chan struct{})
	return s.entered, s.leave
}

func (s *gatedSink) Write(batch []byte) error {
	s.mu.Lock()
	entered, leave := s.entered, s.leave
	s.mu.Unlock()
	if entered != nil {
		entered <- struct{}{}
		<-leave
	}
	return s.Memory.Write(batch)
}

func newHarness(t testing.TB, edit func(*proxy.Config)) *harness {
	t.Helper()
	h := &harness{
		vault: &vault{secrets: map[string]string{"a/KEY": canary}},
		judge: &judge{},
		sink:  &gatedSink{Memory: &audittest.Memory{}},
		clock: &clock{wall: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)},
	}
	h.judge.effect.Store(uint32(policy.Allow))
	memory, err := state.NewMemory(state.MemoryConfig{Wall: h.clock.Wall})
	must(t, err)
	h.store = &store{Store: memory}
	key, err := identity.GenerateSigningKey()
	must(t, err)
	h.key, err = audit.GenerateKey()
	must(t, err)
	h.signer, err = identity.NewSigner(key, "https://k.test", "https://k.test")
	must(t, err)
	keys, err := identity.NewKeySet(h.signer.PublicKey())
	must(t, err)
	verifier, err := identity.New(identity.Config{Issuer: "https://k.test", Audience: "https://k.test", Keys: keys, Wall: h.clock.Wall})
	must(t, err)
	// No checkpoint comes between the records that a test looks at, however long it takes.
	h.log, err = audit.New(audit.Config{Sink: h.sink, Key: h.key, Wall: h.clock.Wall, CheckpointInterval: time.Hour})
	must(t, err)
	h.cache, err = cache.New(cache.Config{
		Entries: 10, Wall: h.clock.Wall, Mono: h.clock.Mono,
		Tag: func(s *secret.Secret) [16]byte { return h.log.SecretMAC(s) },
	})
	must(t, err)
	t.Cleanup(func() { must(t, h.cache.Close()); _ = h.log.Close(); must(t, h.store.Close()) })
	ttl := cache.TTL{Soft: time.Minute, Hard: 5 * time.Minute}
	c := proxy.Config{
		Rules: proxy.Rules{Verifier: verifier, Authorizer: h.judge, Signer: h.signer}, Cache: h.cache, State: h.store, Audit: h.log, Wall: h.clock.Wall, Mono: h.clock.Mono,
		MaxBlind: 30 * time.Second,
		Mounts: []proxy.Mount{
			{Path: path(t, "one"), Upstream: h.vault, UpstreamName: "v", At: "a", TTL: ttl},
			{Path: path(t, "two"), Upstream: h.vault, UpstreamName: "v", At: "a", TTL: ttl},
		},
	}
	if edit != nil {
		edit(&c)
	}
	h.Proxy, err = proxy.New(c)
	must(t, err)
	t.Cleanup(func() { must(t, h.Close()) })
	must(t, h.Start(t.Context()))
	return h
}

func (h *harness) call(t testing.TB, scopes string, edit ...func(*identity.Claims)) *proxy.Call {
	t.Helper()
	parsed, err := policy.ParseScopes(scopes)
	must(t, err)
	now := h.clock.Wall().Truncate(time.Second)
	c := identity.Claims{
		Subject: "app", ClientID: "test", TokenID: audit.NewID(now), Scopes: parsed, Trust: "local",
		OriginIssuer: "https://k.test", IssuedAt: now, Expires: now.Add(time.Hour),
	}
	for _, e := range edit {
		e(&c)
	}
	token, err := h.signer.Sign(c)
	must(t, err)
	return &proxy.Call{Token: token, Surface: "test", SourceIP: "192.0.2.1"}
}

// read returns the value, or the code of the error.
func (h *harness) read(t testing.TB, c *proxy.Call, p string) (value string, code api.Code) {
	t.Helper()
	a, err := h.Read(t.Context(), c, proxy.ReadRequest{Path: path(t, p)})
	if err != nil {
		return "", codeOf(t, err)
	}
	defer a.Release()
	return string(a.Value.Reveal()), ""
}

func codeOf(t testing.TB, err error) api.Code {
	t.Helper()
	var e *proxy.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is no *proxy.Error", err)
	}
	return e.Code
}

func path(t testing.TB, s string) secret.Path {
	t.Helper()
	p, err := secret.ParsePath(s)
	must(t, err)
	return p
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// records counts the records whose line holds all of the texts.
func (h *harness) records(texts ...string) int {
	n := 0
	for line := range strings.Lines(h.sink.Text()) {
		ok := true
		for _, text := range texts {
			ok = ok && strings.Contains(line, text)
		}
		if ok {
			n++
		}
	}
	return n
}

func publicKey(h *harness) ed25519.PublicKey { return h.key.Public().(ed25519.PublicKey) }
