package guard_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// faulty is an upstream that answers with the errors of a script, then with a value.
type faulty struct {
	mu     sync.Mutex
	script []error
	calls  int
	flying int
	most   int
	takes  time.Duration
}

func (f *faulty) Read(ctx context.Context, _ string, _ secret.Version) (*secret.Secret, error) {
	f.mu.Lock()
	f.calls++
	f.flying++
	f.most = max(f.most, f.flying)
	var err error
	if len(f.script) > 0 {
		err, f.script = f.script[0], f.script[1:]
	}
	f.mu.Unlock()
	defer func() { f.mu.Lock(); f.flying--; f.mu.Unlock() }()
	if f.takes > 0 {
		select {
		case <-time.After(f.takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return &secret.Secret{Version: "1"}, nil
}

func (f *faulty) fail(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.script = append(f.script, err)
	}
}

// asked returns the calls since it was last asked.
func (f *faulty) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.calls
	f.calls = 0
	return n
}

func build(t *testing.T, c guard.Config) *guard.Guard {
	t.Helper()
	g, err := guard.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func read(ctx context.Context, g *guard.Guard, f *faulty) error {
	_, err := g.Reader(f).Read(ctx, "x", secret.Current)
	return err
}

func TestFailedReadsAreTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int // calls
	}{
		{secret.ErrUnavailable, 3},
		{secret.ErrTimeout, 3},
		{secret.ErrThrottled, 3},
		{errors.New("unexplained"), 3},
		{secret.ErrNotFound, 1},
		{secret.ErrDenied, 1},
		{secret.ErrTooLarge, 1},
		{secret.ErrUnsupported, 1},
		{secret.ErrLeased, 1},
		{secret.ErrUnreadable, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &faulty{}
			g := build(t, guard.Config{})
			f.fail(9, fmt.Errorf("reading: %w", tt.err))
			if err := read(t.Context(), g, f); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if got := f.asked(); got != tt.want {
				t.Errorf("%v: asked %d times, want %d", tt.err, got, tt.want)
			}
			f.script = nil
			f.fail(2, secret.ErrUnavailable)
			if err := read(t.Context(), g, f); tt.want == 1 && err != nil {
				t.Errorf("the third try was answered, got %v", err)
			}
		})
	}
}

func TestChangesAreNotTriedAgain(t *testing.T) {
	g := build(t, guard.Config{})
	calls := 0
	err := g.Do(t.Context(), func(context.Context) error { calls++; return secret.ErrUnavailable })
	if !errors.Is(err, secret.ErrUnavailable) || calls != 1 {
		t.Errorf("called %d times (%v), want once", calls, err)
	}
}

// The pauses double, up to their bound, each cut to a random part.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{}
		random := 1.0
		g := build(t, guard.Config{Attempts: 4, Failures: -1, Rand: func() float64 { random /= 2; return random * 2 }})
		f.fail(3, secret.ErrUnavailable)
		start := time.Now()
		if err := read(t.Context(), g, f); err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(start), 50*time.Millisecond+100*time.Millisecond/2+200*time.Millisecond/4; got != want {
			t.Errorf("paused %v, want %v", got, want)
		}
	})
}

// Retries are a fifth of the reads of ten seconds, or three.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{}
		g := build(t, guard.Config{Attempts: 2, Failures: -1})
		f.fail(1000, secret.ErrUnavailable)
		for range 100 {
			_ = read(t.Context(), g, f)
		}
		if got := f.asked(); got != 120 {
			t.Errorf("100 reads asked %d times, want 120", got)
		}
		time.Sleep(10 * time.Second)
		for range 5 {
			_ = read(t.Context(), g, f)
		}
		if got := f.asked(); got != 8 {
			t.Errorf("5 reads asked %d times, want 8: three retries are always allowed", got)
		}
		time.Sleep(9 * time.Second) // the retries of nine seconds ago still count
		_ = read(t.Context(), g, f)
		if got := f.asked(); got != 1 {
			t.Errorf("asked %d times, want 1", got)
		}
	})
}

func TestDeadlineIsTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{takes: time.Hour}
		g := build(t, guard.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		err := read(ctx, g, f)
		if err == nil || time.Since(start) > 10*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if got := f.asked(); got != 3 { // two tries of 4 s, and one that the deadline ended
			t.Errorf("asked %d times, want 3", got)
		}
		// No pause that would outlast the deadline.
		f.takes = 0
		g = build(t, guard.Config{Rand: func() float64 { return 0.99 }})
		f.fail(9, secret.ErrUnavailable)
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start = time.Now()
		if err := read(ctx, g, f); !errors.Is(err, secret.ErrUnavailable) || time.Since(start) != 0 || f.asked() != 1 {
			t.Errorf("after %v: %v, want the failure at once", time.Since(start), err)
		}
	})
}

func TestOneTryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{takes: time.Hour}
		g := build(t, guard.Config{Attempts: 1})
		start := time.Now()
		if err := read(t.Context(), g, f); !errors.Is(err, secret.ErrTimeout) || time.Since(start) != 4*time.Second {
			t.Errorf("after %v: %v, want %v after 4s", time.Since(start), err, secret.ErrTimeout)
		}
	})
}

// List is a read of many requests.
func (f *faulty) List(ctx context.Context, _, _ string, _ int) ([]secret.Item, error) {
	_, err := f.Read(ctx, "", secret.Current)
	return nil, err
}

// A listing may need more time than one try of a read has. Where it needs more than its caller has, that tells nothing of
// the upstream: callers who list large trees must not take it from those who read.
func TestSlowListings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{takes: 9 * time.Second}
		g := build(t, guard.Config{})
		list := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := g.Lister(f).List(ctx, "", "", 1)
			return err
		}
		if err := list(); err != nil || f.asked() != 1 {
			t.Errorf("a listing of 9s: %v", err)
		}
		f.takes = 11 * time.Second
		for range 10 {
			if err := list(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a listing of 11s: %v", err)
			}
		}
		if got := f.asked(); got != 10 || g.Stats().Open || g.Stats().Failures != 0 {
			t.Errorf("asked %d times, %+v; want 10, no failure", got, g.Stats())
		}
		// Failures of other kinds count as those of a read do.
		f.takes = 0
		f.fail(5, secret.ErrUnavailable)
		for range 2 {
			_ = list()
		}
		if got := f.asked(); got != 5 || !g.Stats().Open {
			t.Errorf("asked %d times, %+v; want 5, open", got, g.Stats())
		}
	})
}

// Parts of a listing end with it; one that is silent by itself counts all the same.
func TestPartsOfListings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{takes: 3 * time.Second}
		g := build(t, guard.Config{})
		part := func(left time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			if _, err := g.Part(f).Read(ctx, "x", secret.Current); err == nil {
				t.Error("a read of 3s or more ended in less")
			}
		}
		for range 10 {
			part(2 * time.Second)
		}
		if got := f.asked(); got != 10 || g.Stats().Failures != 0 {
			t.Errorf("asked %d times, %+v; want 10, no failure", got, g.Stats())
		}
		f.takes = time.Hour
		for range 3 {
			part(10 * time.Second)
		}
		if got := g.Stats(); !got.Open || got.Failures < 5 {
			t.Errorf("%+v, want it open after 5 failures", got)
		}
		f.takes = 0
		if _, err := (*guard.Guard)(nil).Part(f).Read(t.Context(), "x", secret.Current); err != nil {
			t.Error(err)
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{}
		g := build(t, guard.Config{Attempts: 1})
		f.fail(4, secret.ErrUnavailable)
		f.fail(1, secret.ErrNotFound) // an answer: the count begins anew
		f.fail(5, secret.ErrThrottled)
		for range 10 {
			if err := read(t.Context(), g, f); errors.Is(err, guard.ErrOpen) {
				t.Fatal("open before five failures in a row")
			}
		}
		f.asked()
		for range 10 {
			if err := read(t.Context(), g, f); !errors.Is(err, guard.ErrOpen) || !errors.Is(err, secret.ErrUnavailable) {
				t.Fatalf("got %v, want %v", err, guard.ErrOpen)
			}
		}
		if got := f.asked(); got != 0 || !g.Stats().Open {
			t.Errorf("asked %d times while left alone", got)
		}
		time.Sleep(5*time.Second - time.Millisecond)
		if err := read(t.Context(), g, f); !errors.Is(err, guard.ErrOpen) {
			t.Errorf("before the cooldown is over: %v", err)
		}
		time.Sleep(time.Millisecond)

		// Half open: one probe, however many come; it fails, and the cooldown begins anew.
		f.takes = time.Second
		f.fail(1, secret.ErrUnavailable)
		herd(t, g, f, 50)
		if got := f.asked(); got != 1 {
			t.Errorf("asked %d times on probation, want once", got)
		}
		if err := read(t.Context(), g, f); !errors.Is(err, guard.ErrOpen) {
			t.Errorf("after the probe failed: %v", err)
		}
		time.Sleep(5 * time.Second)
		herd(t, g, f, 50)
		if got := f.asked(); got != 1 {
			t.Errorf("asked %d times on probation, want once", got)
		}
		if got := herd(t, g, f, 50); got != 0 || f.asked() != 50 || g.Stats().Open {
			t.Errorf("after the probe was answered %d of 50 failed", got)
		}
	})
}

// herd reads n times at once and counts the failures.
func herd(t *testing.T, g *guard.Guard, f *faulty, n int) int {
	t.Helper()
	var wg sync.WaitGroup
	var failures atomic.Int64
	for range n {
		wg.Go(func() {
			if read(t.Context(), g, f) != nil {
				failures.Add(1)
			}
		})
	}
	wg.Wait()
	return int(failures.Load())
}

// A probe whose caller goes away, or that panics, does not keep others from probing.
func TestProbeThatComesToNothing(t *testing.T) {
	for name, ruin := range map[string]func(*guard.Guard){
		"caller goes away": func(g *guard.Guard) {
			ctx, cancel := context.WithCancel(context.Background())
			_ = g.Do(ctx, func(ctx context.Context) error { cancel(); return ctx.Err() })
		},
		"panic": func(g *guard.Guard) {
			defer func() { _ = recover(); time.Sleep(5 * time.Second) }()
			_ = g.Do(context.Background(), func(context.Context) error { panic("x") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &faulty{}
				g := build(t, guard.Config{Attempts: 1, Concurrency: 1})
				f.fail(5, secret.ErrUnavailable)
				for range 5 {
					_ = read(t.Context(), g, f)
				}
				time.Sleep(5 * time.Second)
				ruin(g)
				if err := read(t.Context(), g, f); err != nil {
					t.Errorf("the next one: %v, want it to be the probe", err)
				}
			})
		})
	}
}

// What began before the breaker opened tells nothing about the time after.
func TestLateNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{}
		g := build(t, guard.Config{Attempts: 1, Timeout: -1})
		late := make(chan struct{})
		done := make(chan struct{})
		go func() {
			_ = g.Do(t.Context(), func(context.Context) error { <-late; return nil })
			close(done)
		}()
		synctest.Wait()
		f.fail(5, secret.ErrUnavailable)
		for range 5 {
			_ = read(t.Context(), g, f)
		}
		close(late)
		<-done
		if err := read(t.Context(), g, f); !errors.Is(err, guard.ErrOpen) {
			t.Errorf("got %v: an answer from before it opened closed it", err)
		}
	})
}

func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{takes: time.Second}
		g := build(t, guard.Config{Concurrency: 4})
		start := time.Now()
		if got := herd(t, g, f, 20); got != 0 || f.most != 4 || time.Since(start) != 5*time.Second {
			t.Errorf("%d failed, %d at once, %v; want 0, 4, 5s", got, f.most, time.Since(start))
		}
		f.takes = time.Hour
		hold, cancel := context.WithCancel(t.Context())
		for range 4 {
			go func() { _ = g.Do(hold, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }) }()
		}
		synctest.Wait()
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		f.asked()
		if err := read(ctx, g, f); !errors.Is(err, secret.ErrThrottled) || f.asked() != 0 {
			t.Errorf("no room before the deadline: %v, want %v", err, guard.ErrLimited)
		}
		cancel()
		synctest.Wait()
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{}
		g := build(t, guard.Config{Rate: 10})
		start := time.Now()
		for range 30 {
			if err := read(t.Context(), g, f); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(start); got != 2*time.Second { // ten at once, twenty at a tenth of a second each
			t.Errorf("30 reads took %v, want 2s", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start = time.Now()
		if err := read(ctx, g, f); !errors.Is(err, guard.ErrLimited) || time.Since(start) != 0 {
			t.Errorf("after %v: %v, want %v at once", time.Since(start), err, guard.ErrLimited)
		}
		time.Sleep(time.Hour) // no more than a second's worth is saved up
		start = time.Now()
		for range 11 {
			_ = read(t.Context(), g, f)
		}
		if got := time.Since(start); got != 100*time.Millisecond {
			t.Errorf("11 reads after an idle hour took %v, want 100ms", got)
		}
		if got := g.Stats().Limited; got != 1 {
			t.Errorf("%d counted as limited, want 1", got)
		}
	})
}

func TestNoGuard(t *testing.T) {
	var g *guard.Guard
	f := &faulty{}
	f.fail(1, secret.ErrUnavailable)
	if err := read(t.Context(), g, f); !errors.Is(err, secret.ErrUnavailable) || f.asked() != 1 {
		t.Error("a nil guard does more than pass on")
	}
	if g.Lister(nil) != nil || g.Writer(nil) != nil || g.Stats() != (guard.Stats{}) {
		t.Error("a nil guard makes something of nothing")
	}
	g = build(t, guard.Config{})
	if g.Lister(nil) != nil || g.Writer(nil) != nil {
		t.Error("a guard makes something of nothing")
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []guard.Config{{Concurrency: -1}, {Rate: -1}, {Attempts: -1}, {Cooldown: -1}} {
		if _, err := guard.New(c); err == nil {
			t.Errorf("New(%+v) accepted", c)
		}
	}
}

// A caller who leaves tells nothing of the upstream.
func TestCallersWhoLeaveDoNotOpen(t *testing.T) {
	g, err := guard.New(guard.Config{Failures: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_ = g.Do(ctx, func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	})
	if got := g.Stats(); got.Attempts != 1 || got.Failures != 0 || got.Open {
		t.Errorf("%+v, want one attempt and no failure", got)
	}
}
