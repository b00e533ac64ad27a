package cache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errUpstream = errors.New("the upstream failed")

// clocks are a wall and a monotonic clock that tests move, together or apart.
type clocks struct {
	mu   sync.Mutex
	wall time.Time
	mono time.Duration
}

func newClocks() *clocks { return &clocks{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clocks) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *clocks) Mono() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mono
}

func (c *clocks) move(wall, mono time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.wall.Add(wall), c.mono+mono
}

func (c *clocks) pass(d time.Duration) { c.move(d, d) }

// upstream answers every read with a value that tells which key it belongs to and which read it was.
type upstream struct {
	mu     sync.Mutex
	reads  uint64
	err    error
	out    []*secret.Secret // everything handed out
	size   int              // of the values; 0 means 64
	before func(ctx context.Context)
}

func (u *upstream) load(ctx context.Context, k cache.Key) (*secret.Secret, error) {
	if u.before != nil {
		u.before(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reads++
	if u.err != nil {
		return nil, u.err
	}
	s := &secret.Secret{Value: secret.NewValue(fill(k, u.reads, max(u.size, 64))), Version: secret.Version(fmt.Sprint(u.reads))}
	u.out = append(u.out, s)
	return s, nil
}

func (u *upstream) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = err
}

func (u *upstream) count() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.reads
}

// leaked counts secrets that were handed out and are not zeroed.
func (u *upstream) leaked() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, s := range u.out {
		if !wiped(s) {
			n++
		}
	}
	return n
}

func wiped(s *secret.Secret) bool {
	return bytes.Equal(s.Value.Reveal(), make([]byte, s.Value.Len()))
}

func keyID(k cache.Key) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s\x00%t\x00%s\x00%s", k.Mount, k.Name, k.Fields, k.Path, k.Version)
	return h.Sum64()
}

// fill repeats (key, n) so that a zeroed or mixed value cannot pass check.
func fill(k cache.Key, n uint64, size int) []byte {
	b, id := make([]byte, 0, size+15), keyID(k)
	for len(b) < size {
		b = binary.BigEndian.AppendUint64(b, id)
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// check fails unless s is whole and belongs to k; it returns the number of the read, 0 after a failure. It may be called
// on any goroutine.
func check(t testing.TB, k cache.Key, s *secret.Secret) uint64 {
	t.Helper()
	b, id := s.Value.Reveal(), keyID(k)
	n := binary.BigEndian.Uint64(b[8:])
	for i := 0; i < len(b); i += 16 {
		if got := binary.BigEndian.Uint64(b[i:]); got != id {
			t.Errorf("value of %v: word %d is %x, want %x: zeroed or mixed", k, i/8, got, id)
			return 0
		}
		if got := binary.BigEndian.Uint64(b[i+8:]); got != n || n == 0 {
			t.Errorf("value of %v: read %d and %d in one value", k, n, got)
			return 0
		}
	}
	if got, want := string(s.Version), fmt.Sprint(n); got != want {
		t.Errorf("version %s with the value of version %s", got, want)
	}
	return n
}

func key(t testing.TB, path string) cache.Key {
	t.Helper()
	p, err := secret.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	return cache.Key{Mount: "m", Name: path, Path: p, Version: secret.Current}
}

func pattern(t testing.TB, s string) secret.Pattern {
	t.Helper()
	p, err := secret.ParseConfigPattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func open(t testing.TB, cfg cache.Config) *cache.Cache {
	t.Helper()
	c, err := cache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var ttl = cache.TTL{Soft: time.Minute, Hard: 5 * time.Minute}

// get reads k, checks the value and releases it.
func get(t testing.TB, c *cache.Cache, k cache.Key, u *upstream) (n uint64, s cache.State, age time.Duration) {
	t.Helper()
	h, err := c.Get(context.Background(), k, ttl, u.load)
	if err != nil {
		t.Fatalf("Get(%v): %v", k, err)
	}
	defer h.Release()
	return check(t, k, h.Secret()), h.State(), h.Age()
}
