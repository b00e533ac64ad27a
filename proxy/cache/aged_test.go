package cache_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// aged is an upstream that keeps values itself.
type aged struct {
	upstream
	age   time.Duration
	stale bool
}

func (a *aged) load(ctx context.Context, k cache.Key) (*secret.Secret, error) {
	s, err := a.upstream.load(ctx, k)
	if err == nil {
		s.Age, s.Stale = a.age, a.stale
	}
	return s, err
}

// ask is Get with what comes of it.
func (a *aged) ask(t *testing.T, c *cache.Cache, k cache.Key, ttl cache.TTL) (n uint64, s cache.State, age time.Duration, err error) {
	t.Helper()
	h, err := c.Get(t.Context(), k, ttl, a.load)
	if err != nil {
		return 0, "", 0, err
	}
	defer h.Release()
	return check(t, k, h.Secret()), h.State(), h.Age(), nil
}

// A value is never younger here than where it came from: its age counts on.
func TestAgeIsCarriedOver(t *testing.T) {
	clk, u := newClocks(), &aged{age: 50 * time.Second}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono, RefreshInline: true})
	k := key(t, "a")
	began := clk.Wall()
	h, err := c.Get(t.Context(), k, ttl, u.load)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := h.FetchedAt(), began.Add(-u.age); h.Age() != u.age || !got.Equal(want) || h.State() != cache.Miss {
		t.Errorf("%s, %v old, of %v; want a miss, %v, of %v", h.State(), h.Age(), got, u.age, want)
	}
	h.Release()
	clk.pass(ttl.Soft - u.age - time.Millisecond)
	if n, s, age, err := u.ask(t, c, k, ttl); n != 1 || s != cache.Hit || age != ttl.Soft-time.Millisecond || err != nil {
		t.Errorf("just within soft: read %d, %s, %v old, %v", n, s, age, err)
	}
	clk.pass(time.Millisecond)
	if n, s, age, err := u.ask(t, c, k, ttl); n != 2 || s != cache.Miss || age != u.age || err != nil {
		t.Errorf("past soft: read %d, %s, %v old, %v; want 2, miss, %v", n, s, age, err, u.age)
	}
	// What is within its own bound there is taken, however old, but no cached copy outlives the bound here.
	u.age = ttl.Hard + time.Hour
	clk.pass(ttl.Hard)
	for want := uint64(3); want < 6; want++ {
		if n, s, age, err := u.ask(t, c, k, ttl); n != want || s != cache.Miss || age != u.age || err != nil {
			t.Errorf("older than hard: read %d, %s, %v old, %v; want %d, miss, %v", n, s, age, err, want, u.age)
		}
	}
}

// What the upstream itself calls stale is served within the bound for that, and renews nothing.
func TestStaleOfTheUpstream(t *testing.T) {
	clk, u := newClocks(), &aged{age: 10 * time.Minute, stale: true}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono, RefreshInline: true})
	k := key(t, "a")
	for range 3 { // it is asked again after a pause
		if n, s, age, err := u.ask(t, c, k, staleTTL); n != 1 || s != cache.Stale || age != u.age || err != nil {
			t.Errorf("read %d, %s, %v old, %v; want 1, stale, %v", n, s, age, err, u.age)
		}
	}
	if got := u.count(); got != 1 {
		t.Errorf("%d reads, want 1", got)
	}
	restricted := staleTTL
	restricted.Stale = 0
	if _, _, _, err := u.ask(t, c, key(t, "b"), restricted); !errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("where nothing stale may be served: %v", err)
	}
	if h, err := c.Fresh(t.Context(), key(t, "b"), restricted, u.load); !errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("nor fresh: %v, %v", h.State(), err)
	}
	// Young enough, but stale there: it is said, and a newer one is asked for.
	u.age = time.Second
	if _, s, _, err := u.ask(t, c, key(t, "c"), ttl); s != cache.Stale || err != nil {
		t.Errorf("stale and young: %s, %v", s, err)
	}
	clk.pass(time.Second)
	u.stale = false
	before := u.count()
	if _, s, _, err := u.ask(t, c, key(t, "c"), ttl); s != cache.Miss || err != nil || u.count() != before+1 {
		t.Errorf("healed: %s, %v, %d reads; want a miss", s, err, u.count()-before)
	}
}

// A stale answer does not take the place of what is younger.
func TestStaleOfTheUpstreamReplacesNothingYounger(t *testing.T) {
	clk, u := newClocks(), &aged{}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono, RefreshInline: true})
	k := key(t, "a")
	if _, _, _, err := u.ask(t, c, k, staleTTL); err != nil {
		t.Fatal(err)
	}
	clk.pass(staleTTL.Hard)
	u.age, u.stale = staleTTL.Hard+time.Second, true
	if n, s, age, err := u.ask(t, c, k, staleTTL); n != 1 || s != cache.Stale || age != staleTTL.Hard || err != nil {
		t.Errorf("read %d, %s, %v old, %v; want 1, stale, %v", n, s, age, err, staleTTL.Hard)
	}
	if got := u.count(); got != 2 {
		t.Errorf("%d reads, want 2", got)
	}
	clk.pass(staleTTL.Stale - staleTTL.Hard)
	u.age = staleTTL.Stale
	if _, _, _, err := u.ask(t, c, k, staleTTL); !errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("at the bound: %v", err)
	}
	if got := u.leaked(); got > 1 { // the last answer stands in the cache until its place is needed
		t.Errorf("%d values left in memory", got)
	}
}

// What came old is wiped, at the latest when one that was read then expires.
func TestWhatCameOldIsWiped(t *testing.T) {
	clk, u := newClocks(), &aged{}
	c := open(t, cache.Config{Wall: clk.Wall, Mono: clk.Mono, RefreshInline: true})
	if _, _, _, err := u.ask(t, c, key(t, "young"), ttl); err != nil {
		t.Fatal(err)
	}
	u.age = time.Minute
	if _, _, _, err := u.ask(t, c, key(t, "old"), ttl); err != nil {
		t.Fatal(err)
	}
	clk.pass(ttl.Hard)
	u.age = 0
	if _, _, _, err := u.ask(t, c, key(t, "other"), ttl); err != nil { // sweeps
		t.Fatal(err)
	}
	if got := u.leaked(); got != 1 {
		t.Errorf("%d values in memory, want 1", got)
	}
}
