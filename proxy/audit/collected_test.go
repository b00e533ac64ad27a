package audit_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

// shared is a Memory as a place that many instances share.
type shared struct {
	*audittest.Memory
	store int // of the lines of the next batch, which fails; -1: it does not
}

func (s *shared) Open() (audit.Tail, error) {
	_, err := s.Memory.Open()
	return audit.Tail{Shared: true}, err
}

func (s *shared) Write(batch []byte) error {
	if s.store < 0 {
		return s.Memory.Write(batch)
	}
	kept := strings.Join(strings.SplitAfter(string(batch), "\n")[:s.store], "")
	s.store = -1
	if err := s.Memory.Write([]byte(kept)); err != nil {
		return err
	}
	return errors.New("the answer is lost")
}

func (s *shared) Reopen(batch []byte) error { return s.Write(batch) }

// gathered is the lines of instances: one that was sealed, one that failed and went on as another, one that was killed.
func gathered(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, end := range []string{"sealed", "failed", "killed"} {
		var m audittest.Memory
		s := &shared{Memory: &m, store: -1}
		l := newLog(t, s)
		for range 3 {
			appendOne(t, l)
		}
		switch end {
		case "failed":
			s.store = 1
			if err := l.Append(context.Background(), audittest.Access()); !errors.Is(err, audit.ErrUnavailable) {
				t.Fatalf("Append = %v, want ErrUnavailable", err)
			}
			appendOne(t, l)
		case "killed":
			t.Cleanup(func() { closeLog(t, l) })
		}
		if end != "killed" {
			closeLog(t, l)
		}
		all = append(all, lineList(t, m.Sources())...)
	}
	return all
}

func lineList(t *testing.T, sources []audit.Source) (lines []string) {
	t.Helper()
	for _, s := range sources {
		err := audit.Scan(s.Reader, func(line []byte, _ *audit.Record) error {
			lines = append(lines, string(line)+"\n")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return lines
}

func verifyLines(lines []string, o audit.VerifyOptions) (audit.Report, error) {
	o.PublicKey = audittest.PublicKey()
	half := len(lines) / 2
	return audit.VerifyCollected([]audit.Source{
		{Name: "a", Reader: strings.NewReader(strings.Join(lines[:half], ""))},
		{Name: "b", Reader: strings.NewReader(strings.Join(lines[half:], ""))},
	}, o)
}

func TestVerifyCollected(t *testing.T) {
	lines := gathered(t)
	lines = append(lines, lines[4], lines[0], "START RequestId: 8476a536 Version: $LATEST\n", "\n")
	rand.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	got, err := verifyLines(lines, audit.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := audit.Report{
		Files: 2, Instances: 4, Records: 5 + 4 + 3 + 4, Tail: 3, Unsealed: 1, Failures: 1, Abandoned: 1, Repeated: 2, Foreign: 2,
		SignedAt: got.SignedAt,
	}
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

// Whatever is done to one line is found, but at the end of what no signature covers.
func TestVerifyCollectedFindsEdits(t *testing.T) {
	lines := gathered(t)
	rec := func(i int) (r audit.Record) {
		if err := audit.Decode([]byte(lines[i]), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	abandoned := -1
	for i := range lines[:len(lines)-1] {
		if a, b := rec(i), rec(i+1); b.Kind == audit.Birth && b.Chain.Continues.Instance == a.Chain.Instance && b.Chain.Continues.Seq < a.Chain.Seq {
			abandoned = i
		}
	}
	if abandoned < 0 {
		t.Fatal("no line is abandoned")
	}
	for i, line := range lines {
		r := rec(i)
		end := i == len(lines)-1 || r.Kind == audit.Seal || i == abandoned
		without := append(append([]string(nil), lines[:i]...), lines[i+1:]...)
		if _, err := verifyLines(without, audit.VerifyOptions{}); errors.Is(err, audit.ErrTampered) == end {
			t.Errorf("without line %d, of kind %s: %v", i, r.Kind, err)
		}
		flipped := append([]string(nil), lines...)
		flipped[i] = strings.Replace(line, `"seq":`, `"seq":1`, 1)
		if _, err := verifyLines(flipped, audit.VerifyOptions{}); !errors.Is(err, audit.ErrTampered) {
			t.Errorf("with line %d changed: %v", i, err)
		}
		if r.Kind != audit.Access || end {
			continue
		}
		r.Resource.Path = "elsewhere"
		rewritten := append([]string(nil), lines...)
		rewritten[i] = string(audit.Encode(nil, &r, r.Chain))
		if _, err := verifyLines(rewritten, audit.VerifyOptions{}); !errors.Is(err, audit.ErrTampered) {
			t.Errorf("with line %d written anew: %v", i, err)
		}
		for _, both := range [][]string{append([]string{rewritten[i]}, lines...), append(lines[:len(lines):len(lines)], rewritten[i])} {
			if _, err := verifyLines(both, audit.VerifyOptions{}); !errors.Is(err, audit.ErrTampered) {
				t.Errorf("with another line of the number of line %d: %v", i, err)
			}
		}
	}
}

// An instance that somebody else's key signed, or a record behind a seal, was not written by the log.
func TestVerifyCollectedFindsForgeries(t *testing.T) {
	lines := gathered(t)
	var m audittest.Memory
	l, err := audit.New(audit.Config{
		Sink: &shared{Memory: &m, store: -1}, Key: ed25519.NewKeyFromSeed([]byte("fedcba9876543210fedcba9876543210")),
	})
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	with := func(more ...string) error {
		_, err := verifyLines(append(lines[:len(lines):len(lines)], more...), audit.VerifyOptions{})
		return err
	}
	if err := with(lineList(t, m.Sources())...); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("an instance of another key: %v", err)
	}
	seals := 0
	for _, line := range lines {
		r := decode(t, line)
		if r.Kind != audit.Seal {
			continue
		}
		seals++
		behind := audit.Encode(nil, audittest.Access(), audit.Chain{Instance: r.Chain.Instance, Seq: r.Chain.Seq + 1, Prev: r.Chain.Hash})
		if err := with(string(behind)); !errors.Is(err, audit.ErrTampered) {
			t.Errorf("a record behind a seal: %v", err)
		}
	}
	if seals != 2 {
		t.Errorf("%d seals, want two", seals)
	}
}

// The middle of what instances wrote verifies where it is said that the beginning is not there.
func TestVerifyCollectedLate(t *testing.T) {
	lines := gathered(t)[2:]
	if _, err := verifyLines(lines, audit.VerifyOptions{}); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("got %v, want that lines are missing", err)
	}
	if _, err := verifyLines(lines, audit.VerifyOptions{OldestGone: true}); err != nil {
		t.Error(err)
	}
}

// A log that fails again and again names what was acknowledged last, whatever of it was stored meanwhile. What was begun in
// vain needs no seal; what was acknowledged does.
func TestSharedPlaceThatKeepsFailing(t *testing.T) {
	var m audittest.Memory
	s := &shared{Memory: &m, store: -1}
	now := time.Now()
	l, err := audit.New(audit.Config{Sink: s, Key: audittest.Key(), Wall: func() time.Time {
		now = now.Add(time.Second) // under the lock of the log
		return now
	}})
	if err != nil {
		t.Fatal(err)
	}
	appendOne(t, l)
	for stored := range 2 {
		s.store = stored
		if err := l.Append(context.Background(), audittest.Access()); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("Append = %v, want ErrUnavailable", err)
		}
	}
	closeLog(t, l)
	lines := lineList(t, m.Sources())
	got, err := verifyLines(lines, audit.VerifyOptions{})
	if err != nil || got.Instances != 3 || got.Failures != 2 || !got.Sealed || got.Unsealed != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	got, err = verifyLines(lines[:len(lines)-1], audit.VerifyOptions{})
	if err != nil || got.Sealed || got.Unsealed != 1 {
		t.Errorf("without the seal: got %+v, %v", got, err)
	}
}

// An instance begins with its first birth: that of a later file does not stand for it.
func TestVerifyCollectedFindsALaterBirth(t *testing.T) {
	var m audittest.Memory
	l := newLog(t, &m)
	m.Rotate(1)
	for range 4 {
		appendOne(t, l)
	}
	closeLog(t, l)
	lines := lineList(t, m.Sources())
	if got, err := verifyLines(lines, audit.VerifyOptions{}); err != nil || !got.Sealed {
		t.Errorf("got %+v, %v", got, err)
	}
	later := 0
	for i, line := range lines[1:] {
		if decode(t, line).Kind != audit.Birth {
			continue
		}
		later++
		if _, err := verifyLines(lines[1+i:], audit.VerifyOptions{}); !errors.Is(err, audit.ErrTampered) {
			t.Errorf("from record %d on: %v", 2+i, err)
		}
	}
	if later == 0 {
		t.Error("there is no later birth")
	}
}

// What is said of ends without a seal is of all of them, since the oldest last signature.
func TestVerifyCollectedTails(t *testing.T) {
	var all []string
	begin := time.Now().Truncate(time.Millisecond)
	for i, n := range []int{2, 3} {
		var m audittest.Memory
		l, err := audit.New(audit.Config{
			Sink: &shared{Memory: &m, store: -1}, Key: audittest.Key(), Wall: func() time.Time { return begin.Add(time.Duration(i) * time.Hour) },
		})
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			appendOne(t, l)
		}
		all = append(all, lineList(t, m.Sources())...)
		closeLog(t, l)
	}
	got, err := verifyLines(all, audit.VerifyOptions{})
	if err != nil || got.Unsealed != 2 || got.Tail != 5 || !got.SignedAt.Equal(begin) {
		t.Errorf("got %+v, %v; want 5 records since %v", got, err, begin)
	}
}

// Which instance goes on after which is what births say, not what names sort by: clocks are set back.
func TestVerifyCollectedOfAnyNames(t *testing.T) {
	var m audittest.Memory
	s := &shared{Memory: &m, store: -1}
	l, err := audit.New(audit.Config{Sink: s, Key: audittest.Key(), Instance: "z"}) // behind every ULID
	if err != nil {
		t.Fatal(err)
	}
	appendOne(t, l)
	appendOne(t, l)
	intent := audittest.Access()
	intent.Kind = audit.Intent
	if err := l.Append(context.Background(), intent); err != nil {
		t.Fatal(err)
	}
	s.store = 1
	if err := l.Append(context.Background(), audittest.Access()); !errors.Is(err, audit.ErrUnavailable) {
		t.Fatalf("Append = %v, want ErrUnavailable", err)
	}
	outcome := audittest.Access()
	outcome.Kind, outcome.Pair = audit.Outcome, intent.ID
	if err := l.Append(context.Background(), outcome); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	lines := lineList(t, m.Sources()) // of z a birth, three records and one that is abandoned; then birth, outcome and seal
	slices.Reverse(lines)
	got, err := verifyLines(lines, audit.VerifyOptions{})
	if err != nil || got.Records != 7 || got.Failures != 1 || got.Abandoned != 1 || !got.Sealed || len(got.OpenIntents) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	// What was acknowledged before the failure is covered by the birth after it.
	without := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		r := decode(t, line)
		return r.Chain.Instance == "z" && r.Chain.Seq > 2
	})
	if _, err := verifyLines(without, audit.VerifyOptions{}); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("without the last that were acknowledged: %v", err)
	}
	// Of a period that begins with the failure there are only lines that count for nothing.
	late := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		r := decode(t, line)
		return r.Chain.Instance == "z" && r.Chain.Seq < 5
	})
	got, err = verifyLines(late, audit.VerifyOptions{OldestGone: true})
	if err != nil || got.Records != 3 || got.Abandoned != 1 || !got.Sealed {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := verifyLines(late, audit.VerifyOptions{}); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("where the beginning should be there: %v", err)
	}
}

// A write that was cut short leaves the beginning of a line, alone or before the next. It stands for no record that was
// acknowledged: cutting such a one leaves a hole.
func TestVerifyCollectedTornLines(t *testing.T) {
	lines := gathered(t)
	long := strings.Repeat("x", 3*audit.MaxLineBytes) + "\n"
	beginning := lines[1][:len(lines[1])/2]
	for name, text := range map[string]string{
		"at the end":               strings.Join(lines, "") + beginning,
		"before another":           beginning + strings.Join(lines, ""),
		"on a line of its own":     lines[0] + beginning + "\n" + strings.Join(lines[1:], ""),
		"and a long line of other": lines[0] + beginning + "\n" + long + strings.Join(lines[1:], ""),
	} {
		got, err := audit.VerifyCollected([]audit.Source{{Name: "a", Reader: strings.NewReader(text)}}, audit.VerifyOptions{PublicKey: audittest.PublicKey()})
		if err != nil || got.Records != 5+4+3+4 || got.Torn != int64(len(beginning)) || got.Foreign != uint64(strings.Count(text, long)) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for i, line := range lines[:3] {
		cut := slices.Clone(lines)
		cut[i] = line[:len(line)-2] + "\n"
		if _, err := verifyLines(cut, audit.VerifyOptions{}); !errors.Is(err, audit.ErrTampered) {
			t.Errorf("with line %d cut short: %v", i, err)
		}
	}
}
