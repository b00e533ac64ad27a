package audit_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

func TestVerifyNeedsTheKey(t *testing.T) {
	var m audittest.Memory
	closeLog(t, newLog(t, &m))
	if _, err := audit.Verify(m.Sources(), audit.VerifyOptions{}); !errors.Is(err, audit.ErrInvalidKey) {
		t.Errorf("without a key: %v, want ErrInvalidKey", err)
	}
	other := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	_, err := audit.Verify(m.Sources(), audit.VerifyOptions{PublicKey: other})
	var bad *audit.BadLine
	if !errors.As(err, &bad) || bad.Line != 1 || !strings.Contains(bad.What, audit.KeyID(other)) {
		t.Errorf("with another key: %v, want line 1 and the key's name", err)
	}
}

// A log signed by another key under the name of the right one is forged.
func TestVerifyForgedKeyName(t *testing.T) {
	var m audittest.Memory
	forger := ed25519.NewKeyFromSeed(make([]byte, 32))
	l, err := audit.New(audit.Config{Sink: &m, Key: forger})
	if err != nil {
		t.Fatal(err)
	}
	r := decode(t, m.Text())
	closeLog(t, l)
	r.Chain.KeyID = audit.KeyID(audittest.PublicKey())
	_, err = verifyText([]string{string(audit.EncodeSigned(r))})
	var bad *audit.BadLine
	if !errors.As(err, &bad) || !strings.Contains(bad.What, "signature") {
		t.Errorf("got %v, want a bad signature", err)
	}
}

func TestVerifyNamesTheLine(t *testing.T) {
	var m audittest.Memory
	l := newLog(t, &m)
	for range 5 {
		appendOne(t, l)
	}
	closeLog(t, l)
	lines := strings.SplitAfter(m.Text(), "\n")
	lines[3] = strings.Replace(lines[3], "read", "list", 1)
	_, err := verifyText([]string{strings.Join(lines, "")})
	want := &audit.BadLine{File: "0", Line: 4, What: "not an audit record: its hash does not match"}
	var got *audit.BadLine
	if !errors.As(err, &got) || *got != *want {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestVerifyReportsTheTail(t *testing.T) {
	var m audittest.Memory
	l := newLog(t, &m)
	for range 3 {
		appendOne(t, l)
	}
	open := m.Crash()
	closeLog(t, l)
	text := open.Text()
	for name, row := range map[string]struct {
		text string
		torn int64
		tail uint64
	}{
		"running": {text, 0, 3},
		"writing": {text + `{"v":1`, 6, 3},
		"cut":     {strings.Join(strings.SplitAfter(text, "\n")[:2], ""), 0, 1},
	} {
		r, err := verifyText([]string{row.text})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Sealed || r.Tail != row.tail || r.Torn != row.torn || r.SignedAt.IsZero() {
			t.Errorf("%s: got %+v, want %d after the signature, %d torn bytes", name, r, row.tail, row.torn)
		}
	}
	if r := verify(t, m.Sources()); !r.Sealed || r.Tail != 0 {
		t.Errorf("sealed: got %+v", r)
	}
}

func TestVerifyOpenIntents(t *testing.T) {
	var m audittest.Memory
	l := newLog(t, &m)
	add := func(k audit.Kind, pair string) string {
		r := audittest.Access()
		r.Kind, r.Pair = k, pair
		if err := l.Append(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	first := add(audit.Intent, "")
	second := add(audit.Intent, "")
	third := add(audit.Intent, "")
	add(audit.Outcome, second)
	closeLog(t, l)
	var got []string
	for _, o := range verify(t, m.Sources()).OpenIntents {
		got = append(got, o.ID)
		if o.Line == 0 || o.Time.IsZero() || o.File == "" {
			t.Errorf("no place or time: %+v", o)
		}
	}
	if want := []string{first, third}; !reflect.DeepEqual(got, want) {
		t.Errorf("open intents %v, want %v", got, want)
	}
}

func TestVerifyContinuation(t *testing.T) {
	var m audittest.Memory
	l := newLog(t, &m)
	appendOne(t, l)
	m.Fail(errDisk, 0)
	if err := l.Append(context.Background(), audittest.Access()); err == nil {
		t.Fatal("Append to a failing sink succeeded")
	}
	m.Fail(nil, 0)
	appendOne(t, l)
	closeLog(t, l)
	o := audit.VerifyOptions{PublicKey: audittest.PublicKey()}
	older, err := audit.Verify(m.Sources()[:1], o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Verify(m.Sources()[1:], o); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("without the older file: %v, want ErrTampered", err)
	}
	o.After = older.Last
	if r, err := audit.Verify(m.Sources()[1:], o); err != nil || !r.Sealed {
		t.Errorf("after the older file: %+v, %v", r, err)
	}
	o.After.Seq--
	if _, err := audit.Verify(m.Sources()[1:], o); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("after another place: %v, want ErrTampered", err)
	}
}

func TestVerifyNothing(t *testing.T) {
	for _, files := range [][]string{nil, {""}, {"", ""}, {"{"}} {
		if r, err := verifyText(files); !errors.Is(err, audit.ErrTampered) {
			t.Errorf("%q: %+v, %v; want ErrTampered: a log without a record is no log", files, r, err)
		}
	}
}

func TestVerifyFilesMissing(t *testing.T) {
	_, err := audit.VerifyFiles([]string{"testdata/absent"}, audit.VerifyOptions{PublicKey: audittest.PublicKey()})
	if err == nil || errors.Is(err, audit.ErrTampered) {
		t.Errorf("got %v, want an error of reading", err)
	}
}

func TestScanTorn(t *testing.T) {
	var m audittest.Memory
	closeLog(t, newLog(t, &m))
	n := 0
	err := audit.Scan(strings.NewReader(m.Text()+"{"), func([]byte, *audit.Record) error { n++; return nil })
	if !errors.Is(err, audit.ErrTorn) || n != 2 {
		t.Errorf("Scan = %v after %d records, want ErrTorn after 2", err, n)
	}
	err = audit.Scan(strings.NewReader(m.Text()), func([]byte, *audit.Record) error { return errDisk })
	if !errors.Is(err, errDisk) {
		t.Errorf("Scan = %v, want the error of fn", err)
	}
}

func FuzzVerify(f *testing.F) {
	var m audittest.Memory
	l, err := audit.New(audit.Config{Sink: &m, Key: audittest.Key(), CheckpointEvery: 2})
	if err != nil {
		f.Fatal(err)
	}
	for range 3 {
		if err := l.Append(context.Background(), audittest.Access()); err != nil {
			f.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(m.Text(), "")
	f.Add("{}\n", "\n\n")
	f.Add(m.Text()[:900], m.Text()[900:])
	f.Fuzz(func(t *testing.T, a, b string) {
		r, err := verifyText([]string{a, b})
		if err == nil && (r.Records == 0 || r.SignedAt.IsZero()) {
			t.Errorf("%+v verified without a signature", r)
		}
	})
}
