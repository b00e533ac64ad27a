package batch_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/internal/batch"
	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vault answers after a while, and remembers what it was asked.
type vault struct {
	takes  time.Duration
	silent map[string]bool // names that a call for many tells nothing of
	fail   error           // of calls for many
	once   error           // of the next call for many
	panics bool

	mu    sync.Mutex
	calls [][]string
	ended int // calls whose context ended first
}

func (v *vault) ask(ctx context.Context, names ...string) error {
	v.mu.Lock()
	v.calls = append(v.calls, slices.Clone(names))
	v.mu.Unlock()
	if v.panics {
		panic("broken")
	}
	select {
	case <-time.After(v.takes):
		return nil
	case <-ctx.Done():
		v.mu.Lock()
		v.ended++
		v.mu.Unlock()
		return ctx.Err()
	}
}

func (v *vault) one(ctx context.Context, name string) (*secret.Secret, error) {
	if err := v.ask(ctx, name); err != nil {
		return nil, err
	}
	if name == "none" {
		return nil, secret.ErrNotFound
	}
	return value(name), nil
}

func (v *vault) many(ctx context.Context, names []string) (map[string]batch.Result, error) {
	if err := v.ask(ctx, names...); err != nil {
		return nil, err
	}
	if v.fail != nil {
		return nil, v.fail
	}
	v.mu.Lock()
	once := v.once
	v.once = nil
	v.mu.Unlock()
	if once != nil {
		return nil, once
	}
	out := map[string]batch.Result{"stranger": {}}
	for _, name := range names {
		switch {
		case v.silent[name]:
		case name == "none":
			out[name] = batch.Result{Err: secret.ErrNotFound}
		default:
			out[name] = batch.Result{Secret: value(name)}
		}
	}
	return out, nil
}

func value(name string) *secret.Secret {
	return &secret.Secret{Value: secret.NewValue([]byte("value of " + name))}
}

// asked returns the names of each call since it was last called, the small calls first.
func (v *vault) asked() [][]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	calls := v.calls
	v.calls = nil
	for _, c := range calls {
		slices.Sort(c)
	}
	slices.SortFunc(calls, func(a, b []string) int { return cmp.Or(len(a)-len(b), slices.Compare(a, b)) })
	return calls
}

// run has v behind a Batch of at most three names, in a bubble of its own time.
func run(t *testing.T, v *vault, test func(t *testing.T, b *batch.Batch)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, err := batch.New(batch.Config{
			Most: 3, Wait: 3 * time.Millisecond, One: v.one, Many: v.many,
			Refused: func(err error) bool { return errors.Is(err, secret.ErrDenied) },
		})
		if err != nil {
			t.Fatal(err)
		}
		test(t, b)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// readers reads names at one moment, the first before the others, and returns a function that waits for their ends.
func readers(t *testing.T, b *batch.Batch, names ...string) (wait func()) {
	t.Helper()
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			s, err := b.Read(t.Context(), name)
			switch {
			case name == "none":
				if s != nil || !errors.Is(err, secret.ErrNotFound) {
					t.Errorf("%s: got %v, %v", name, s, err)
				}
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case string(s.Value.Reveal()) != "value of "+name:
				t.Errorf("%s: got %q", name, s.Value.Reveal())
			default:
				s.Wipe() // it is this caller's alone
			}
		})
		synctest.Wait()
	}
	return all.Wait
}

func wantCalls(t *testing.T, v *vault, want ...[]string) {
	t.Helper()
	if got := v.asked(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
}

func TestAReadThatIsAloneLeavesAtOnce(t *testing.T) {
	v := &vault{takes: 30 * time.Millisecond}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		start := time.Now()
		readers(t, b, "a")()
		if took := time.Since(start); took != v.takes {
			t.Errorf("took %v, want %v", took, v.takes)
		}
		wantCalls(t, v, []string{"a"})
	})
}

func TestReadsMeanwhileAreCollected(t *testing.T) {
	v := &vault{takes: 30 * time.Millisecond}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		start := time.Now()
		readers(t, b, "a", "b", "none", "b", "b")()
		if took := time.Since(start); took != 33*time.Millisecond {
			t.Errorf("took %v, want one call and the wait for company", took)
		}
		wantCalls(t, v, []string{"a"}, []string{"b", "none"})
	})
}

func TestAFullCallLeavesAtOnce(t *testing.T) {
	v := &vault{takes: 30 * time.Millisecond}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		start := time.Now()
		readers(t, b, "a", "b", "c", "d")()
		if took := time.Since(start); took != v.takes {
			t.Errorf("took %v, want %v", took, v.takes)
		}
		wantCalls(t, v, []string{"a"}, []string{"b", "c", "d"})
	})
}

func TestTheEndOfACallSendsTheNext(t *testing.T) {
	v := &vault{takes: time.Millisecond}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		start := time.Now()
		readers(t, b, "a", "b", "c")()
		if took := time.Since(start); took != 2*time.Millisecond {
			t.Errorf("took %v, want two calls and no more wait", took)
		}
		wantCalls(t, v, []string{"a"}, []string{"b", "c"})
	})
}

// What left may be older than what a caller knows by now.
func TestNoReadJoinsACallThatLeft(t *testing.T) {
	v := &vault{takes: 30 * time.Millisecond}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		readers(t, b, "a", "a")()
		wantCalls(t, v, []string{"a"}, []string{"a"})
	})
}

func TestCallersLeaveByThemselves(t *testing.T) {
	v := &vault{takes: time.Second}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		read := func(ctx context.Context, name string, want error) {
			all.Go(func() {
				if _, err := b.Read(ctx, name); !errors.Is(err, want) {
					t.Errorf("%s: got %v, want %v", name, err, want)
				}
			})
			synctest.Wait()
		}
		late, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		read(ctx, "a", context.Canceled)
		read(ctx, "b", context.Canceled)
		read(late, "b", secret.ErrTimeout)
		wait := readers(t, b, "c") // joins the call of b
		leave()
		synctest.Wait()
		if v.ended != 1 {
			t.Errorf("%d calls were ended, want the one that nobody waits for", v.ended)
		}
		wait()
		all.Wait()
		wantCalls(t, v, []string{"a"}, []string{"b", "c"})

		// A call that everybody left before it was sent is not made.
		wait = readers(t, b, "a")
		gone, cancel := context.WithCancel(t.Context())
		read(gone, "b", context.Canceled)
		cancel()
		wait()
		all.Wait()
		time.Sleep(time.Second)
		wantCalls(t, v, []string{"a"})
	})
}

func TestWhatManyDoesNotTellIsReadAlone(t *testing.T) {
	v := &vault{takes: 30 * time.Millisecond, silent: map[string]bool{"c": true}}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		readers(t, b, "a", "b", "c")()
		wantCalls(t, v, []string{"a"}, []string{"c"}, []string{"b", "c"})
	})
}

// One name that is refused hides no other, and costs one more call a minute.
func TestRefusedCalls(t *testing.T) {
	v := &vault{takes: 30 * time.Millisecond, fail: secret.ErrDenied}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		readers(t, b, "a", "b", "none")()
		wantCalls(t, v, []string{"a"}, []string{"b"}, []string{"none"}, []string{"b", "none"})
		readers(t, b, "a", "b", "c")()
		wantCalls(t, v, []string{"a"}, []string{"b"}, []string{"c"})
		time.Sleep(time.Minute)
		v.fail = nil
		readers(t, b, "a", "b", "c")()
		wantCalls(t, v, []string{"a"}, []string{"b", "c"})
	})
}

func TestAFailedCallFailsItsReads(t *testing.T) {
	v := &vault{takes: 30 * time.Millisecond, fail: secret.ErrThrottled}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		wait := readers(t, b, "a")
		var all sync.WaitGroup
		for _, name := range []string{"b", "c"} {
			all.Go(func() {
				if _, err := b.Read(t.Context(), name); !errors.Is(err, secret.ErrThrottled) {
					t.Errorf("%s: got %v", name, err)
				}
			})
		}
		all.Wait()
		wait()
		wantCalls(t, v, []string{"a"}, []string{"b", "c"})
	})
}

// A call for many that fails once is one failure: whatever guards the reads tries them again, and does not take it for an
// outage.
func TestAFailedCallIsOneFailure(t *testing.T) {
	v := &vault{takes: 30 * time.Millisecond, once: secret.ErrUnavailable}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		g, err := guard.New(guard.Config{Failures: 2})
		if err != nil {
			t.Fatal(err)
		}
		wait := readers(t, b, "a")
		var all sync.WaitGroup
		for _, name := range []string{"b", "b", "b", "c", "d"} {
			all.Go(func() {
				if err := g.Retry(t.Context(), name, func(ctx context.Context) error { _, err := b.Read(ctx, name); return err }); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
			synctest.Wait()
		}
		wait()
		all.Wait()
		if got := g.Stats(); got.Failures != 1 || got.Open {
			t.Errorf("got %+v, want one failure", got)
		}
	})
}

// A call ends when the last who has no answer leaves, though others had theirs.
func TestTheLastOfACallLeaves(t *testing.T) {
	v := &vault{takes: 30 * time.Millisecond, silent: map[string]bool{"c": true}}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		wait := readers(t, b, "a", "b")
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := b.Read(ctx, "c"); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		wait()
		synctest.Wait()
		leave() // while c is read alone
		all.Wait()
		synctest.Wait()
		if v.ended != 1 {
			t.Errorf("%d calls were ended, want the one that nobody waits for", v.ended)
		}
	})
}

func TestAPanicIsAFailure(t *testing.T) {
	v := &vault{panics: true}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		for range 2 {
			if _, err := b.Read(t.Context(), "a"); !errors.Is(err, secret.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestCloseEndsCalls(t *testing.T) {
	v := &vault{takes: time.Hour}
	run(t, v, func(t *testing.T, b *batch.Batch) {
		var all sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			all.Go(func() {
				if _, err := b.Read(t.Context(), name); !errors.Is(err, secret.ErrUnavailable) || errors.Is(err, context.Canceled) {
					t.Errorf("%s: got %v", name, err)
				}
			})
			synctest.Wait()
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
		if _, err := b.Read(t.Context(), "c"); !errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("after Close: got %v", err)
		}
	})
}
