package statetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/state"
)

const (
	writers   = 8
	perWriter = 25
)

// write appends from many goroutines at once and returns when all have.
func (f *fixture) write(prefix string, acked func(id string, seq uint64)) {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range perWriter {
				id := fmt.Sprintf("%s-%d-%d", prefix, w, i)
				seq, err := f.Append(f.t.Context(), revocation(id))
				if err != nil {
					f.t.Errorf("Append(%s): %v", id, err)
					return
				}
				acked(id, seq)
			}
		})
	}
	wg.Wait()
}

// A reader who follows the log while many write to it sees every fact, once, in order, and none later than its append
// returned.
func testConcurrentAppends(t *testing.T, s Suite) {
	f := start(t, s)
	var mu sync.Mutex
	acked := map[string]uint64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.write("w", func(id string, seq uint64) {
			mu.Lock()
			defer mu.Unlock()
			acked[id] = seq
		})
	}()
	seen := map[string]uint64{}
	var at uint64
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		mu.Lock()
		floor := uint64(0)
		for _, seq := range acked {
			floor = max(floor, seq)
		}
		mu.Unlock()
		facts, last, err := f.Since(t.Context(), at)
		if err != nil {
			t.Fatalf("Since(%d): %v", at, err)
		}
		for _, fact := range facts {
			if at++; fact.Seq != at {
				t.Fatalf("seq %d follows %d", fact.Seq, at-1)
			}
			seen[fact.ID] = fact.Seq
		}
		if at != last || last < floor {
			t.Fatalf("read up to %d, the log ends at %d, %d was appended before the read began", at, last, floor)
		}
	}
	if got, want := len(seen), writers*perWriter; got != want {
		t.Errorf("saw %d facts, want %d", got, want)
	}
	for id, seq := range acked {
		if seen[id] != seq {
			t.Errorf("%s was appended as %d and read as %d", id, seq, seen[id])
		}
	}
}

// Many replay one fact at once: one fact, one seq.
func testConcurrentReplay(t *testing.T, s Suite) {
	f := start(t, s)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			if seq, err := f.Append(t.Context(), revocation("a")); err != nil || seq != 1 {
				t.Errorf("Append = %d, %v; want 1", seq, err)
			}
		})
	}
	wg.Wait()
	f.want(0, 1, "a")
}

func (f *fixture) watch(ctx context.Context) <-chan uint64 {
	f.t.Helper()
	w, ok := f.Store.(state.Watcher)
	if !ok {
		f.t.Skip("the store has no Watch")
	}
	ch, err := w.Watch(ctx)
	if err != nil {
		f.t.Fatalf("Watch: %v", err)
	}
	return ch
}

func testWatch(t *testing.T, s Suite) {
	f := start(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	a, b := f.watch(ctx), f.watch(t.Context())
	f.append(revocation("x"))
	for _, ch := range []<-chan uint64{a, b} {
		if got := <-ch; got != 1 {
			t.Errorf("told of %d, want 1", got)
		}
	}
	cancel()
	for range a { // ends when the channel is closed
	}
	f.append(revocation("y"))
	if got := <-b; got != 2 {
		t.Errorf("told of %d, want 2", got)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for range b {
	}
}

// A watcher who reads the log whenever it is told of news, and only then, comes to the end of it.
func testWatchMissesNone(t *testing.T, s Suite) {
	f := start(t, s)
	ch := f.watch(t.Context())
	go f.write("w", func(string, uint64) {})
	var at, told uint64
	for at < writers*perWriter {
		n, ok := <-ch
		if !ok || n <= told {
			t.Fatalf("told of %d (open: %v) after %d", n, ok, told)
		}
		told = n
		facts, last, err := f.Since(t.Context(), at)
		if err != nil || last < n {
			t.Fatalf("Since(%d) = last %d, %v after news of %d", at, last, err, n)
		}
		if got, want := uint64(len(facts)), last-at; got != want {
			t.Fatalf("Since(%d) has %d facts, the log ends at %d", at, got, last)
		}
		at = last
	}
}
