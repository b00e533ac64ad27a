// Package audittest is the conformance suite of audit.Sink, and a sink in memory for tests of what writes records. What
// every sink must do is written here and nowhere else.
package audittest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// Harness is one place that a sink writes to.
type Harness struct {
	// Sink returns a new sink over the place; those before it are closed.
	Sink func(t *testing.T) audit.Sink
	// Sources reads what the place holds, oldest file first.
	Sources func(t *testing.T) []audit.Source
	// ReadsBack: the sink knows after a restart where its log ends, and refuses two writers at once.
	ReadsBack bool
	// Shared is audit.Tail.Shared: the sink is never full, and what it holds is verified as collected lines.
	Shared bool
}

// Run holds a sink to its contract. place makes a new, empty place for each test.
func Run(t *testing.T, place func(t *testing.T) Harness) {
	t.Run("a log verifies", func(t *testing.T) { verifies(t, place(t)) })
	t.Run("concurrent appends", func(t *testing.T) { concurrent(t, place(t)) })
	t.Run("a new place after a failure", func(t *testing.T) { reopens(t, place(t)) })
	t.Run("a new place when full", func(t *testing.T) { rotates(t, place(t)) })
	t.Run("the batch may be reused", func(t *testing.T) { doesNotKeep(t, place(t)) })
	t.Run("restart", func(t *testing.T) { restarts(t, place(t)) })
	t.Run("one writer", func(t *testing.T) { oneWriter(t, place(t)) })
	t.Run("close without open", func(t *testing.T) { closesUnopened(t, place(t)) })
}

// Key is a fixed audit key for tests.
func Key() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))
}

// PublicKey belongs to Key.
func PublicKey() ed25519.PublicKey { return Key().Public().(ed25519.PublicKey) }

// Access is a record of a plain read.
func Access() *audit.Record {
	now := time.Now()
	return &audit.Record{
		ID: audit.NewID(now), Time: now, Kind: audit.Access, Action: "read",
		Principal: audit.Principal{
			Trust: "vercel-web", Issuer: "https://oidc.vercel.com/acme", Subject: "owner:acme:project:web:environment:production",
			IDs: []audit.ID{{Name: "owner_id", Value: "team_123"}, {Name: "project_id", Value: "prj_456"}}, TokenID: "sha256:00112233445566778899aabbccddeeff",
		},
		Via:      audit.Via{Surface: "native", SourceIP: "192.0.2.7", UserAgent: "keyhole-ts/1.0 node/20", RequestID: "r-1"},
		Resource: audit.Resource{Path: "web/production/STRIPE_KEY", Version: "3", Mount: "web", Classification: "restricted"},
		Decision: audit.Decision{Effect: "allow", Rule: "main/web", PolicyDigest: "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", Duration: 900 * time.Microsecond},
		Cache:    audit.Cache{State: "hit", Age: 120 * time.Millisecond, Generation: 41},
		Result:   audit.Result{Status: 200, Bytes: 32, ValueMAC: audit.MAC{1, 2, 3}},
	}
}

func open(t *testing.T, s audit.Sink) *audit.Log {
	t.Helper()
	// No checkpoint comes between the records that are counted, however slow the place is.
	l, err := audit.New(audit.Config{Sink: s, Key: Key(), Region: "eu-west-1", CheckpointInterval: time.Hour})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return l
}

func write(t *testing.T, l *audit.Log, n int) {
	t.Helper()
	for range n {
		if err := l.Append(context.Background(), Access()); err != nil {
			t.Fatalf("Append: %v", err)
		}
	}
}

func shut(t *testing.T, l *audit.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func check(t *testing.T, h Harness, wantRecords uint64) audit.Report {
	t.Helper()
	verify := audit.Verify
	if h.Shared {
		verify = audit.VerifyCollected
	}
	got, err := verify(h.Sources(t), audit.VerifyOptions{PublicKey: PublicKey()})
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	if got.Records != wantRecords || !got.Sealed {
		t.Fatalf("Verify reports %d records, sealed %v; want %d and a seal", got.Records, got.Sealed, wantRecords)
	}
	return got
}

func verifies(t *testing.T, h Harness) {
	l := open(t, h.Sink(t))
	write(t, l, 5)
	shut(t, l)
	check(t, h, 5+2) // birth and seal
}

func concurrent(t *testing.T, h Harness) {
	l := open(t, h.Sink(t))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				if err := l.Append(context.Background(), Access()); err != nil {
					t.Errorf("Append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	shut(t, l)
	check(t, h, 16*20+2)
}

var errInjected = errors.New("injected")

// flaky stores what it is told to, then says that it failed: the worst a real failure does.
type flaky struct {
	audit.Sink
	store func(batch []byte) []byte
	fail  bool
}

func (f *flaky) Write(batch []byte) error {
	if !f.fail {
		return f.Sink.Write(batch)
	}
	f.fail = false
	if part := f.store(batch); len(part) > 0 {
		if err := f.Sink.Write(part); err != nil {
			return err
		}
	}
	return errInjected
}

func reopens(t *testing.T, h Harness) {
	stored := []func([]byte) []byte{
		func([]byte) []byte { return nil },
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { return b },
	}
	var want uint64
	for _, store := range stored {
		if h.Shared {
			store = wholeLines(store)
		}
		f := &flaky{Sink: h.Sink(t), store: store}
		l := open(t, f)
		write(t, l, 3)
		f.fail = true
		if err := l.Append(context.Background(), Access()); !errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, errInjected) {
			t.Fatalf("Append to a failing sink = %v, want ErrUnavailable and its cause", err)
		}
		if err := l.Healthy(); !errors.Is(err, audit.ErrUnavailable) {
			t.Fatalf("Healthy = %v after a failure, want ErrUnavailable", err)
		}
		write(t, l, 2)
		if err := l.Healthy(); err != nil {
			t.Fatalf("Healthy = %v after recovery", err)
		}
		shut(t, l)
		want += 3 + 2 + 3 // two births and a seal
	}
	got := check(t, h, want)
	if got.Failures != len(stored) || got.Abandoned != 1 {
		t.Fatalf("Verify reports %d failures and %d abandoned lines, want %d and 1", got.Failures, got.Abandoned, len(stored))
	}
}

// wholeLines leaves out a line that would be torn: nothing cuts it off where other lines follow.
func wholeLines(store func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		part := store(b)
		return part[:bytes.LastIndexByte(part, '\n')+1]
	}
}

// full says of a sink that its place is full, once.
type full struct {
	audit.Sink
	mu  sync.Mutex
	now bool
}

func (f *full) Full() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now
	f.now = false
	return now
}

func (f *full) fill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = true
}

func rotates(t *testing.T, h Harness) {
	if h.Shared {
		t.Skip("the sink has one place")
	}
	f := &full{Sink: h.Sink(t)}
	l := open(t, f)
	const times = 3
	for range times {
		f.fill()
		write(t, l, 2)
	}
	shut(t, l)
	got := check(t, h, times*(2+1)+2)
	if got.Rotations != times || got.Failures != 0 || got.Files != times+1 {
		t.Fatalf("Verify reports %d rotations, %d failures, %d files, want %d, 0 and %d", got.Rotations, got.Failures, got.Files, times, times+1)
	}
}

func doesNotKeep(t *testing.T, h Harness) {
	l := open(t, &scribbler{h.Sink(t)})
	write(t, l, 3)
	shut(t, l)
	check(t, h, 3+2)
}

// scribbler overwrites each batch when the sink has answered.
type scribbler struct{ audit.Sink }

func (s *scribbler) Write(batch []byte) error {
	own := append([]byte(nil), batch...)
	defer clear(own)
	return s.Sink.Write(own)
}

func restarts(t *testing.T, h Harness) {
	if !h.ReadsBack && !h.Shared {
		t.Skip("the sink cannot read back")
	}
	const runs = 4
	for range runs {
		l := open(t, h.Sink(t))
		write(t, l, 3)
		shut(t, l)
	}
	check(t, h, runs*(3+2))
}

func oneWriter(t *testing.T, h Harness) {
	if !h.ReadsBack {
		t.Skip("the sink cannot read back")
	}
	l := open(t, h.Sink(t))
	_, err := audit.New(audit.Config{Sink: h.Sink(t), Key: Key()})
	if !errors.Is(err, audit.ErrInUse) {
		t.Errorf("a second log over one place: %v, want ErrInUse", err)
	}
	write(t, l, 1)
	shut(t, l)
	check(t, h, 1+2)
}

func closesUnopened(t *testing.T, h Harness) {
	if err := h.Sink(t).Close(); err != nil {
		t.Error(fmt.Errorf("Close before Open: %w", err))
	}
}
