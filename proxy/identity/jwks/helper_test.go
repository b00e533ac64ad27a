package jwks_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
)

const issuerURL = "https://issuer.example"

// key is a fixed key of each number, and its kid.
func key(n byte) (ed25519.PublicKey, string) {
	pub := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	kid, err := identity.Thumbprint(pub)
	if err != nil {
		panic(err)
	}
	return pub, kid
}

func kid(n byte) string {
	_, id := key(n)
	return id
}

func set(t testing.TB, numbers ...byte) *identity.KeySet {
	t.Helper()
	var keys []ed25519.PublicKey
	for _, n := range numbers {
		pub, _ := key(n)
		keys = append(keys, pub)
	}
	s, err := identity.NewKeySet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// origin is an issuer without a network.
type origin struct {
	mu      sync.Mutex
	keys    *identity.KeySet
	fresh   time.Duration
	err     error
	gate    chan struct{} // when not nil, answers wait for it to be closed
	fetches int
	going   atomic.Int32
}

func newOrigin(keys *identity.KeySet) *origin { return &origin{keys: keys, fresh: 10 * time.Minute} }

func (o *origin) fetch(ctx context.Context) (*identity.KeySet, time.Duration, error) {
	o.mu.Lock()
	o.fetches++
	keys, fresh, err, gate := o.keys, o.fresh, o.err, o.gate
	o.mu.Unlock()
	o.going.Add(1)
	defer o.going.Add(-1)
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return keys, fresh, err
}

func (o *origin) publish(keys *identity.KeySet) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keys, o.err = keys, nil
}

func (o *origin) fail() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = errors.New("out of order")
}

// hold makes answers wait until the function that it returns is called.
func (o *origin) hold() (release func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	gate := make(chan struct{})
	o.gate = gate
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.gate = nil
		close(gate)
	}
}

func (o *origin) asked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.fetches
	o.fetches = 0
	return n
}

// from opens a source of what the origin publishes.
func from(t testing.TB, o *origin, c jwks.Config) *jwks.Source {
	t.Helper()
	c.Issuer = issuerURL
	s := jwks.NewFrom(c, o.fetch)
	t.Cleanup(func() { closeSource(t, s) })
	return s
}

func closeSource(t testing.TB, s *jwks.Source) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// wantKey asks for a key that has to be there.
func wantKey(t testing.TB, s *jwks.Source, kid string) *identity.KeySet {
	t.Helper()
	keys, err := s.Keys(t.Context(), kid)
	if err != nil {
		t.Fatalf("Keys: %v", err)
	}
	if !keys.Has(kid) {
		t.Fatal("Keys returns a set without the key")
	}
	return keys
}

// wantUnknown asks for a key that must not be there and returns when to ask again.
func wantUnknown(t testing.TB, s *jwks.Source, kid string) time.Duration {
	t.Helper()
	keys, err := s.Keys(t.Context(), kid)
	var unknown *identity.UnknownKeyError
	if keys != nil || !errors.As(err, &unknown) || !errors.Is(err, identity.ErrUnknownKey) {
		t.Fatalf("Keys: got %v, %v; want an UnknownKeyError", keys, err)
	}
	if unknown.RetryAfter <= 0 {
		t.Errorf("RetryAfter: got %v", unknown.RetryAfter)
	}
	return unknown.RetryAfter
}

func wantFetches(t testing.TB, o *origin, want int) {
	t.Helper()
	if got := o.asked(); got != want {
		t.Errorf("got %d fetches, want %d", got, want)
	}
}

// logs collects what a source says.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
