package statetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/state"
)

func testOrder(t *testing.T, s Suite) {
	f := start(t, s)
	f.want(0, 0)
	for i, id := range []string{"c", "a", "b"} {
		if got, want := f.append(revocation(id)), uint64(i+1); got != want {
			t.Errorf("seq of %s = %d, want %d", id, got, want)
		}
	}
	f.want(0, 3, "c", "a", "b")
	f.want(1, 3, "a", "b")
	f.want(2, 3, "b")
	f.want(3, 3)
}

func testFidelity(t *testing.T, s Suite) {
	f := start(t, s)
	zone := time.FixedZone("elsewhere", 3600)
	full := state.Fact{
		Seq: 99, ID: "01J-full", Kind: state.Approval, Subject: `é "<&> ` + "\x00\n", Payload: []byte("{\"a\":1}\x00\xff"),
		At: f.Now().Add(-time.Hour).In(zone), ExpiresAt: f.Now().AddDate(300, 0, 0).In(zone),
	}
	bare := revocation("bare")
	f.append(full)
	f.append(bare)
	f.reopen()
	got, _, err := f.Since(t.Context(), 0)
	if err != nil || len(got) != 2 {
		t.Fatalf("Since(0) = %d facts, %v; want 2", len(got), err)
	}
	full.Seq, bare.Seq, bare.At = 1, 2, f.Now() // a fact without a time is of the time it was taken
	for i, want := range []state.Fact{full, bare} {
		if !same(got[i], want) {
			t.Errorf("got %+v, want %+v", got[i], want)
		}
		if got[i].At.Location() != time.UTC || got[i].ExpiresAt.Location() != time.UTC {
			t.Errorf("%s: times are in %v and %v, want UTC", want.ID, got[i].At.Location(), got[i].ExpiresAt.Location())
		}
	}
}

func testLimits(t *testing.T, s Suite) {
	f := start(t, s)
	for name, change := range map[string]func(*state.Fact){
		"no kind":           func(x *state.Fact) { x.Kind = "" },
		"no ID":             func(x *state.Fact) { x.ID = "" },
		"no subject":        func(x *state.Fact) { x.Subject = "" },
		"long kind":         func(x *state.Fact) { x.Kind = state.Kind(strings.Repeat("k", state.MaxKindBytes+1)) },
		"long ID":           func(x *state.Fact) { x.ID = strings.Repeat("i", state.MaxIDBytes+1) },
		"long subject":      func(x *state.Fact) { x.Subject = strings.Repeat("s", state.MaxSubjectBytes+1) },
		"long payload":      func(x *state.Fact) { x.Payload = make([]byte, state.MaxPayloadBytes+1) },
		"subject not UTF-8": func(x *state.Fact) { x.Subject = "a\xff" },
		"year 10000":        func(x *state.Fact) { x.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		fact := revocation("x")
		change(&fact)
		if _, err := f.Append(t.Context(), fact); !errors.Is(err, state.ErrInvalidFact) {
			t.Errorf("%s: %v, want %v", name, err, state.ErrInvalidFact)
		}
	}
	f.want(0, 0)
	largest := strings.Repeat("i", state.MaxIDBytes)
	f.append(state.Fact{
		Kind: state.Kind(strings.Repeat("k", state.MaxKindBytes)), ID: largest,
		Subject: strings.Repeat("s", state.MaxSubjectBytes), Payload: make([]byte, state.MaxPayloadBytes),
	})
	f.want(0, 1, largest)
}

func testIdempotentReplay(t *testing.T, s Suite) {
	f := start(t, s)
	first := f.append(revocation("a"))
	f.append(revocation("b"))
	again := revocation("a")
	again.Subject = "subject:another"
	for range 2 {
		if got := f.append(again); got != first {
			t.Errorf("seq of the replay = %d, want %d", got, first)
		}
		f.reopen()
	}
	f.want(0, 2, "a", "b")
	facts, _, _ := f.Since(t.Context(), 0)
	if got := facts[0].Subject; got != "subject:a" {
		t.Errorf("the replay changed the fact: subject %q", got)
	}
}

func testExpiry(t *testing.T, s Suite) {
	f := start(t, s)
	f.append(f.expiring("short", time.Minute))
	f.append(f.expiring("long", time.Hour))
	f.append(revocation("forever"))
	f.append(f.expiring("past", -time.Second))
	f.want(0, 4, "short", "long", "forever")
	f.pass(time.Minute - 1)
	f.want(0, 4, "short", "long", "forever")
	f.pass(1)
	f.want(0, 4, "long", "forever")
	f.want(1, 4, "long", "forever")
	// What has expired is not held: its ID may be used again, and is a new fact.
	if got := f.append(f.expiring("short", time.Minute)); got != 5 {
		t.Errorf("seq of a fact whose forerunner has expired = %d, want 5", got)
	}
	f.pass(24 * 365 * time.Hour)
	f.reopen()
	f.want(0, 5, "forever")
	f.append(revocation("later"))
	f.want(1, 6, "forever", "later")
}

func testLift(t *testing.T, s Suite) {
	f := start(t, s)
	f.append(revocation("a"))
	f.append(f.expiring("b", time.Hour))
	f.append(lift("l1", "a"))
	f.reopen()
	f.want(0, 3, "b")       // a snapshot is what still holds
	f.want(1, 3, "b", "l1") // who knew a must learn that it is lifted
	f.want(2, 3, "l1")
	if got := f.append(lift("l1", "a")); got != 3 {
		t.Errorf("seq of the replayed lift = %d, want 3", got)
	}
	f.append(lift("l2", "b"))
	f.append(lift("l3", "unknown"))
	f.append(lift("l4", "l1")) // a lift cannot be lifted
	f.want(0, 6)
	f.want(1, 6, "l1", "l2", "l3", "l4")
	// What was lifted is not held: the same ID is a new fact, which the old lift does not concern.
	if got := f.append(revocation("a")); got != 7 {
		t.Errorf("seq of a fact whose forerunner was lifted = %d, want 7", got)
	}
	f.want(0, 7, "a")
	f.want(6, 7, "a")
}

func testCompaction(t *testing.T, s Suite) {
	f := start(t, s)
	f.append(revocation("a"))
	f.append(revocation("b"))
	briefly := lift("l", "a")
	briefly.ExpiresAt = f.Now().Add(time.Second) // a lift stays for LiftRetention even so
	f.append(briefly)
	f.append(revocation("c"))
	f.pass(state.LiftRetention - 1)
	f.append(revocation("d"))
	f.want(1, 5, "b", "l", "c", "d")
	f.pass(2 * time.Second)
	f.append(revocation("e")) // stores tidy up when they are written to
	f.reopen()
	// The lift is gone. Who had not read it would go on refusing what is allowed, and must start anew.
	f.wantErr(1, state.ErrCompacted)
	f.wantErr(2, state.ErrCompacted)
	f.want(3, 6, "c", "d", "e")
	f.want(0, 6, "b", "c", "d", "e")
}

// A reader further on than the log has read another one, such as that of a file which was since replaced by a backup.
func testForeignSeq(t *testing.T, s Suite) {
	f := start(t, s)
	f.wantErr(1, state.ErrCompacted)
	f.append(revocation("a"))
	f.want(1, 1)
	f.wantErr(2, state.ErrCompacted)
	f.wantErr(1<<63, state.ErrCompacted)
	f.wantErr(1<<64-1, state.ErrCompacted)
}

func testSeqIsNeverReused(t *testing.T, s Suite) {
	f := start(t, s)
	f.append(f.expiring("a", time.Minute))
	f.append(f.expiring("b", time.Minute))
	f.pass(time.Hour)
	f.reopen()
	f.want(0, 2)
	if got := f.append(f.expiring("c", time.Minute)); got != 3 {
		t.Errorf("seq = %d, want 3", got)
	}
	f.pass(time.Hour)
	f.reopen()
	f.want(0, 3)
	f.want(3, 3)
	if got := f.append(revocation("d")); got != 4 {
		t.Errorf("seq = %d, want 4", got)
	}
	f.want(1, 4, "d")
}

func testOwnership(t *testing.T, s Suite) {
	f := start(t, s)
	fact := revocation("a")
	fact.Payload = []byte("payload")
	f.append(fact)
	clear(fact.Payload)
	for range 2 {
		got, _, err := f.Since(t.Context(), 0)
		if err != nil || len(got) != 1 || string(got[0].Payload) != "payload" {
			t.Fatalf("Since(0) = %+v, %v: the store shares bytes with its callers", got, err)
		}
		clear(got[0].Payload)
	}
}

func testReopen(t *testing.T, s Suite) {
	if !s.Durable {
		t.Skip("not durable")
	}
	f := start(t, s)
	for i, id := range []string{"a", "b", "c"} {
		f.append(revocation(id))
		f.want(uint64(i), uint64(i+1), id) // what came after opening is seen by who had read all before
		f.reopen()
	}
	f.append(lift("l", "b"))
	f.reopen()
	f.want(0, 4, "a", "c")
	f.want(1, 4, "c", "l")
	if got := f.append(revocation("c")); got != 3 {
		t.Errorf("seq of a replay after opening again = %d, want 3", got)
	}
}
