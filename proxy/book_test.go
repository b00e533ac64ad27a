package proxy_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// book is an upstream of whole secrets that takes no writes, lists, and remembers what it handed out.
type book struct {
	mu      sync.Mutex
	secrets map[string]*secret.Secret
	names   []string // in order; one without a secret was deleted after it was listed
	fail    error    // of List
	given   []*secret.Secret
}

func (b *book) Read(_ context.Context, name string, _ secret.Version) (*secret.Secret, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.secrets[name]
	if !ok {
		return nil, secret.ErrNotFound
	}
	c := s.Clone()
	b.given = append(b.given, c)
	return c, nil
}

func (b *book) List(ctx context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	if b.fail != nil {
		return nil, b.fail
	}
	return (&shelf{names: b.names}).List(ctx, prefix, after, limit)
}

func (b *book) Close() error { return nil }

// wiped reports whether every byte of everything that was handed out, at least one secret, is zero.
func (b *book) wiped() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	clean := len(b.given) > 0
	for _, s := range b.given {
		text := string(s.Value.Reveal())
		for _, f := range s.Fields {
			text += string(f.Value.Reveal())
		}
		clean = clean && strings.Trim(text, "\x00") == ""
	}
	return clean
}

// reads is how many secrets were handed out.
func (b *book) reads() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.given)
}

// uniqueBook never gives a version's name twice.
type uniqueBook struct{ *book }

func (uniqueBook) UniqueVersions() {}

// plain is the vault without what it remembers of its writes.
type plain struct {
	secret.Upstream
	secret.Writer
}

// text is a secret of one value, fields one of a map.
func text(value string) *secret.Secret {
	return &secret.Secret{Value: secret.NewValue([]byte(value)), Version: "1"}
}

func fields(pairs ...string) *secret.Secret {
	s := &secret.Secret{Version: "1"}
	for i := 0; i < len(pairs); i += 2 {
		s.Fields = append(s.Fields, secret.Field{Name: pairs[i], Value: secret.NewValue([]byte(pairs[i+1]))})
	}
	return s
}

// mounted makes the harness serve up at "one", changed by edits.
func mounted(t testing.TB, up secret.Upstream, edits ...func(*proxy.Mount)) func(*proxy.Config) {
	return func(c *proxy.Config) {
		m := proxy.Mount{Path: path(t, "one"), Upstream: up, UpstreamName: "v", At: "a", TTL: cache.TTL{Soft: 1e9, Hard: 300e9}}
		for _, edit := range edits {
			edit(&m)
		}
		c.Mounts = []proxy.Mount{m}
	}
}

// gate is a state store whose reads a test holds back, after they have looked.
type gate struct {
	*store
	calls   atomic.Int64
	entered chan struct{} // where not nil, a read announces itself here and waits for leave
	leave   chan struct{}
	broken  atomic.Bool // the next read panics
}

func (g *gate) Since(ctx context.Context, seq uint64) ([]state.Fact, uint64, error) {
	facts, last, err := g.store.Since(ctx, seq)
	g.calls.Add(1)
	if g.entered != nil {
		g.entered <- struct{}{}
		<-g.leave
	}
	if g.broken.Swap(false) {
		panic("the store broke")
	}
	if ctx.Err() != nil {
		return nil, 0, state.ErrUnavailable
	}
	return facts, last, err
}

// gated is a harness over a gate that is open yet.
func gated(t testing.TB, edit func(*proxy.Config)) (*harness, *gate) {
	g := &gate{}
	h := newHarness(t, func(c *proxy.Config) {
		g.store = c.State.(*store)
		c.State = g
		if edit != nil {
			edit(c)
		}
	})
	return h, g
}

// shut makes every read of the store wait from now on.
func (g *gate) shut() { g.entered, g.leave = make(chan struct{}, 16), make(chan struct{}) }

// freshness makes every mount of the harness say mode.
func freshness(mode proxy.Freshness) func(*proxy.Config) {
	return func(c *proxy.Config) {
		for i := range c.Mounts {
			c.Mounts[i].Freshness = mode
		}
	}
}

// classified labels what the pattern matches.
func classified(t testing.TB, pattern, class string) proxy.LabelRule {
	p, err := secret.ParseConfigPattern(pattern)
	must(t, err)
	return proxy.LabelRule{Match: p, Set: []policy.Pair{{Name: "classification", Value: class}}}
}
