package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// answer is what one Get came to.
type answer struct {
	n   uint64
	err error
}

// ask gets k on a goroutine of its own.
func ask(ctx context.Context, t *testing.T, c *cache.Cache, k cache.Key, load cache.Load) <-chan answer {
	out := make(chan answer, 1)
	go func() {
		h, err := c.Get(ctx, k, ttl, load)
		if err != nil {
			out <- answer{err: err}
			return
		}
		n := check(t, k, h.Secret())
		h.Release()
		out <- answer{n: n}
	}()
	return out
}

func TestHerdCostsOneRead(t *testing.T) {
	herd := 10_000
	if raceEnabled {
		herd = 5_000
	}
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		u := &upstream{before: func(context.Context) { <-gate }}
		c := open(t, cache.Config{})
		k := key(t, "a")
		var answers []<-chan answer
		for range herd {
			answers = append(answers, ask(t.Context(), t, c, k, u.load))
		}
		synctest.Wait()
		close(gate)
		for _, a := range answers {
			if got := <-a; got.err != nil || got.n != 1 {
				t.Fatalf("got read %d, %v; want 1", got.n, got.err)
			}
		}
		if got := u.count(); got != 1 {
			t.Errorf("%d upstream reads, want 1", got)
		}
		if got := c.Stats(); got.Misses != uint64(herd) || got.Loads != 1 {
			t.Errorf("stats = %+v, want %d misses and 1 load", got, herd)
		}
		c.Close()
		if got := u.leaked(); got != 0 {
			t.Errorf("%d values not wiped: references were lost", got)
		}
	})
}

func TestCancelledCallerLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		u := &upstream{before: func(context.Context) { <-gate }}
		c := open(t, cache.Config{})
		k := key(t, "a")
		ctx, cancel := context.WithCancel(t.Context())
		first := ask(ctx, t, c, k, u.load)
		synctest.Wait()
		second := ask(t.Context(), t, c, k, u.load)
		synctest.Wait()
		cancel()
		if got := <-first; !errors.Is(got.err, context.Canceled) {
			t.Errorf("cancelled caller got %+v", got)
		}
		close(gate)
		if got := <-second; got.err != nil || got.n != 1 {
			t.Errorf("patient caller got %+v, want read 1", got)
		}
		if _, s, _ := get(t, c, k, u); s != cache.Hit {
			t.Errorf("then %s, want hit", s)
		}
	})
}

// What callers have no patience for is learned all the same: the value, or that the upstream fails.
func TestReadGoesOnWithoutCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{before: func(ctx context.Context) { sleep(ctx, 3*time.Second) }}
		c := open(t, cache.Config{})
		k := key(t, "a")
		for range 2 { // the second finds the read under way
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := c.Get(ctx, k, staleTTL, u.load); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("the impatient got %v", err)
			}
			cancel()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n, s, err := try(t, c, k, staleTTL, u); n != 1 || s != cache.Hit {
			t.Errorf("then read %d, %s, %v; want 1, hit", n, s, err)
		}
		u.fail(errUpstream)
		time.Sleep(staleTTL.Hard)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel) // no deadline that could be known beforehand
		if _, err := c.Get(ctx, k, staleTTL, u.load); !errors.Is(err, context.Canceled) {
			t.Fatalf("the impatient got %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		start := time.Now()
		if n, s, err := try(t, c, k, staleTTL, u); n != 1 || s != cache.Stale || time.Since(start) != 0 {
			t.Errorf("after the failure that nobody waited for: read %d, %s, %v after %v; want 1, stale, at once", n, s, err, time.Since(start))
		}
		if got := c.Stats().Loads; got != 2 {
			t.Errorf("%d upstream reads, want 2", got)
		}
	})
}

// Callers who leave cannot make reads without number: the 65th is cut off, and one whose value an invalidation took away.
func TestReadsWithoutCallersAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		paths int
		cut   bool // an invalidation comes while they wait
		cfg   cache.Config
		ended int
	}{
		{"one too many", 65, false, cache.Config{}, 1},
		{"invalidated", 1, true, cache.Config{}, 1},
		{"on a host that freezes", 2, false, cache.Config{RefreshInline: true}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended atomic.Int64
				u := &upstream{before: func(ctx context.Context) {
					sleep(ctx, 5*time.Second)
					if errors.Is(ctx.Err(), context.Canceled) {
						ended.Add(1)
					}
				}}
				c := open(t, tt.cfg)
				ctx, cancel := context.WithCancel(t.Context())
				answers := make([]<-chan answer, tt.paths)
				for i := range answers {
					answers[i] = ask(ctx, t, c, key(t, fmt.Sprint(i)), u.load)
				}
				synctest.Wait()
				if tt.cut {
					c.Invalidate(pattern(t, "**"))
				}
				cancel()
				for _, a := range answers {
					<-a
				}
				synctest.Wait()
				if got := int(ended.Load()); got != tt.ended {
					t.Errorf("%d reads were cut off, want %d", got, tt.ended)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got := c.Stats(); got.Entries != tt.paths-tt.ended || got.Failures != 0 {
					t.Errorf("%d values and %d failures, want %d and none", got.Entries, got.Failures, tt.paths-tt.ended)
				}
				if _, err := c.Get(ctx, key(t, "none"), ttl, u.load); !errors.Is(err, context.Canceled) || c.Stats().Loads != uint64(tt.paths) {
					t.Errorf("a caller who is gone already got %v and started a read", err)
				}
				// Those that have ended make room again.
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, _ = c.Get(ctx, key(t, "none"), ttl, u.load)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got, want := int(ended.Load()) == tt.ended, !tt.cfg.RefreshInline; got != want {
					t.Errorf("a later read goes on: %t, want %t", got, want)
				}
			})
		})
	}
}

func TestLoadTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{before: func(ctx context.Context) { <-ctx.Done() }}
		c := open(t, cache.Config{LoadTimeout: 3 * time.Second})
		start := time.Now()
		_, err := c.Get(t.Context(), key(t, "a"), ttl, u.load)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %v, want the deadline after 3s", time.Since(start), err)
		}
	})
}

func TestBrokenLoads(t *testing.T) {
	for name, load := range map[string]cache.Load{
		"panics":         func(context.Context, cache.Key) (*secret.Secret, error) { panic("hunter2") },
		"ends goroutine": func(context.Context, cache.Key) (*secret.Secret, error) { runtime.Goexit(); return nil, nil },
		"returns nothing": func(context.Context, cache.Key) (*secret.Secret, error) {
			return nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			c := open(t, cache.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			k := key(t, "a")
			if _, err := c.Get(t.Context(), k, ttl, load); !errors.Is(err, cache.ErrBrokenLoad) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q, want %q", err, cache.ErrBrokenLoad)
			}
			u := &upstream{}
			if n, _, _ := get(t, c, k, u); n != 1 {
				t.Errorf("then read %d, want 1", n)
			}
			c.Close()
			if got := log.String(); strings.Contains(got, "hunter2") || name == "panics" && !strings.Contains(got, "TestBrokenLoads") {
				t.Errorf("log shows the panic value or not its place: %s", got)
			}
		})
	}
}

func TestBrokenTagWipes(t *testing.T) {
	u := &upstream{}
	c := open(t, cache.Config{Tag: func(*secret.Secret) [16]byte { panic("no key") }})
	if _, err := c.Get(t.Context(), key(t, "a"), ttl, u.load); !errors.Is(err, cache.ErrBrokenLoad) {
		t.Errorf("error %v, want %v", err, cache.ErrBrokenLoad)
	}
	if got := u.leaked(); got != 0 {
		t.Errorf("%d values not wiped", got)
	}
}

// The rule of flights: who came before an invalidation may have what was being read; who came after may not.
func TestInvalidationCutsFlightsOff(t *testing.T) {
	for _, p := range []string{"team/db", "team/**", "**"} {
		t.Run(p, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gates := make(chan chan struct{}, 2)
				u := &upstream{before: func(context.Context) {
					gate := make(chan struct{})
					gates <- gate
					<-gate
				}}
				c := open(t, cache.Config{})
				k := key(t, "team/db")
				before := ask(t.Context(), t, c, k, u.load)
				oldGate := <-gates
				if p == "**" {
					c.Flush()
				} else {
					c.Invalidate(pattern(t, p))
				}
				after := ask(t.Context(), t, c, k, u.load)
				newGate := <-gates
				close(newGate)
				if got := <-after; got.err != nil || got.n != 1 {
					t.Fatalf("the caller after the invalidation got %+v, want read 1 of its own", got)
				}
				close(oldGate)
				if got := <-before; got.err != nil || got.n != 2 {
					t.Fatalf("the caller before the invalidation got %+v, want read 2", got)
				}
				u.before = nil
				if n, s, _ := get(t, c, k, u); n != 1 || s != cache.Hit {
					t.Errorf("cached is read %d (%s), want 1: the flight that was cut off was cached", n, s)
				}
			})
		})
	}
}

func TestInvalidationCutsRefreshesOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{})
		k := key(t, "a")
		get(t, c, k, u)
		gate := make(chan struct{})
		u.before = func(context.Context) { <-gate }
		time.Sleep(ttl.Soft)
		get(t, c, k, u)
		synctest.Wait()
		c.Invalidate(secret.Exactly(k.Path))
		close(gate)
		synctest.Wait()
		if got := c.Stats(); got.Entries != 0 || u.leaked() != 0 {
			t.Errorf("the refresh that was cut off left %d entries, %d values", got.Entries, u.leaked())
		}
	})
}

func TestRefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{}
		c := open(t, cache.Config{})
		var keys []cache.Key
		for _, a := range "abcdefghij" {
			for _, b := range "abcdefghij" {
				keys = append(keys, key(t, string(a)+"/"+string(b)))
			}
		}
		for _, k := range keys {
			get(t, c, k, u)
		}
		var mu sync.Mutex
		flying, most := 0, 0
		u.before = func(ctx context.Context) {
			mu.Lock()
			flying++
			most = max(most, flying)
			mu.Unlock()
			sleep(ctx, time.Second)
			mu.Lock()
			flying--
			mu.Unlock()
		}
		time.Sleep(ttl.Soft)
		for range 2 {
			for _, k := range keys {
				get(t, c, k, u)
			}
			time.Sleep(2 * time.Second)
		}
		mu.Lock()
		defer mu.Unlock()
		if most != 64 {
			t.Errorf("%d refreshes at one time, want 64", most)
		}
		if got := u.count(); got != 200 {
			t.Errorf("%d reads, want 200: those that found no room come later", got)
		}
	})
}

func TestCloseStopsReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &upstream{before: func(ctx context.Context) { <-ctx.Done() }}
		c := open(t, cache.Config{})
		a := ask(t.Context(), t, c, key(t, "a"), u.load)
		synctest.Wait()
		c.Close()
		if got := <-a; !errors.Is(got.err, cache.ErrClosed) {
			t.Errorf("got %+v, want %v", got, cache.ErrClosed)
		}
	})
}
