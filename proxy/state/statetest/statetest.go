// Package statetest is the conformance suite of state.Store: what every store must do, whatever keeps it. A store that
// passes can take the place of any other.
package statetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/state"
)

// Suite is a kind of store under test.
type Suite struct {
	// Open opens the store kept at place, which is an empty directory when it is first opened and which a store may also
	// take for a mere name. It must be closed by the time it is opened again.
	Open func(place string, wall func() time.Time) (state.Store, error)
	// Durable stores hold what they held when they are opened again, after a SIGKILL too.
	Durable bool
}

// Run runs the suite as subtests of t. Suites of durable stores start the test binary again for this same test, with an
// environment of their own: call Run from a top-level test, before anything else in it.
func Run(t *testing.T, s Suite) {
	if s.Durable && child(t, s) {
		return
	}
	for name, test := range map[string]func(*testing.T, Suite){
		"Order":             testOrder,
		"Fidelity":          testFidelity,
		"Limits":            testLimits,
		"IdempotentReplay":  testIdempotentReplay,
		"ConcurrentReplay":  testConcurrentReplay,
		"Expiry":            testExpiry,
		"Lift":              testLift,
		"Compaction":        testCompaction,
		"ForeignSeq":        testForeignSeq,
		"SeqIsNeverReused":  testSeqIsNeverReused,
		"Ownership":         testOwnership,
		"ConcurrentAppends": testConcurrentAppends,
		"Watch":             testWatch,
		"WatchMissesNone":   testWatchMissesNone,
		"Contexts":          testContexts,
		"Close":             testClose,
		"Reopen":            testReopen,
		"Kill":              testKill,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

// wall is a clock that stands until it is moved.
type wall struct {
	mu  sync.Mutex
	now time.Time
}

func (w *wall) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *wall) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// fixture is one store and its clock.
type fixture struct {
	state.Store
	*wall
	t     *testing.T
	suite Suite
	place string
}

func start(t *testing.T, s Suite) *fixture {
	t.Helper()
	f := &fixture{t: t, suite: s, place: t.TempDir(), wall: &wall{now: time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)}}
	f.open()
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func (f *fixture) open() {
	f.t.Helper()
	s, err := f.suite.Open(f.place, f.Now)
	if err != nil {
		f.t.Fatalf("opening the store: %v", err)
	}
	f.Store = s
}

// reopen closes and opens a durable store; to others it does nothing.
func (f *fixture) reopen() {
	f.t.Helper()
	if !f.suite.Durable {
		return
	}
	if err := f.Close(); err != nil {
		f.t.Fatalf("closing the store: %v", err)
	}
	f.open()
}

func (f *fixture) append(fact state.Fact) uint64 {
	f.t.Helper()
	seq, err := f.Append(f.t.Context(), fact)
	if err != nil {
		f.t.Fatalf("Append(%s): %v", fact.ID, err)
	}
	return seq
}

// want fails unless Since(seq) has the facts with these IDs in this order, and the log ends at last.
func (f *fixture) want(seq, last uint64, ids ...string) {
	f.t.Helper()
	facts, gotLast, err := f.Since(f.t.Context(), seq)
	if err != nil {
		f.t.Fatalf("Since(%d): %v", seq, err)
	}
	got := make([]string, len(facts))
	for i, fact := range facts {
		got[i] = fact.ID
	}
	if fmt.Sprint(got) != fmt.Sprint(ids) || gotLast != last {
		f.t.Errorf("Since(%d) = %v, last %d; want %v, last %d", seq, got, gotLast, ids, last)
	}
}

func (f *fixture) wantErr(seq uint64, want error) {
	f.t.Helper()
	if facts, last, err := f.Since(f.t.Context(), seq); !errors.Is(err, want) || facts != nil || last != 0 {
		f.t.Errorf("Since(%d) = %d facts, last %d, %v; want only %v", seq, len(facts), last, err, want)
	}
}

func revocation(id string) state.Fact {
	return state.Fact{ID: id, Kind: state.Revocation, Subject: "subject:" + id}
}

func (f *fixture) expiring(id string, after time.Duration) state.Fact {
	return state.Fact{ID: id, Kind: state.Invalidation, Subject: "team/db", ExpiresAt: f.Now().Add(after)}
}

func lift(id, target string) state.Fact {
	return state.Fact{ID: id, Kind: state.Lift, Subject: target}
}

// same compares facts as they must survive a store.
func same(a, b state.Fact) bool {
	if !a.At.Equal(b.At) || !a.ExpiresAt.Equal(b.ExpiresAt) || string(a.Payload) != string(b.Payload) {
		return false
	}
	a.At, a.ExpiresAt, a.Payload = b.At, b.ExpiresAt, b.Payload
	return reflect.DeepEqual(a, b)
}

func testContexts(t *testing.T, s Suite) {
	f := start(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Append(ctx, revocation("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("Append with a context that is done: %v, want %v", err, context.Canceled)
	}
	if _, _, err := f.Since(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Since with a context that is done: %v, want %v", err, context.Canceled)
	}
	f.want(0, 0)
}

func testClose(t *testing.T, s Suite) {
	f := start(t, s)
	f.append(revocation("a"))
	if err := f.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if _, err := f.Append(t.Context(), revocation("b")); !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("Append to a closed store: %v, want %v", err, state.ErrUnavailable)
	}
	for _, seq := range []uint64{0, 1} {
		f.wantErr(seq, state.ErrUnavailable)
	}
	if w, ok := f.Store.(state.Watcher); ok {
		if _, err := w.Watch(t.Context()); !errors.Is(err, state.ErrUnavailable) {
			t.Errorf("Watch of a closed store: %v, want %v", err, state.ErrUnavailable)
		}
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
