package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keyhole answers as the server does, as far as the comparison goes.
func keyhole(t *testing.T) load.Target {
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n++
		id := fmt.Sprintf("01JD%022d", n)
		w.Header().Set("X-Keyhole-Decision", id)
		w.Header().Set("X-Keyhole-Cache", "hit")
		w.Header().Set("Age", fmt.Sprint(n))
		w.Header()["Etag"] = []string{`"1"`}
		fmt.Fprintf(w, `{"data":{"value":"s"},"meta":{"age_ms":%d,"decision":"%s"}}`, n*1000, id)
	}))
	t.Cleanup(s.Close)
	return load.Target{URL: s.URL + "/v1/secrets/a", Want: "X-Keyhole-Cache: hit"}
}

// bare runs the bare handler in process.
func bare(t *testing.T, a answer) string {
	t.Helper()
	in, hold := io.Pipe()
	read, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- serveBare(context.Background(), in, out) }()
	t.Cleanup(func() {
		hold.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if err := json.NewEncoder(hold).Encode(a); err != nil {
		t.Fatal(err)
	}
	var url string
	if _, err := fmt.Fscanln(read, &url); err != nil {
		t.Fatal(err)
	}
	return url
}

func TestBareHandlerGivesTheSameAnswer(t *testing.T) {
	subject := keyhole(t)
	sample, err := warmAnswer(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	baseline := load.Target{URL: bare(t, sample) + "/anything", Want: subject.Want}
	if err := sameAnswers(t.Context(), subject, baseline); err != nil {
		t.Error(err)
	}
	if s, err := load.Closed(t.Context(), baseline, 2, time.Second); err != nil || s.Requests == 0 {
		t.Errorf("under load: %+v, %v", s, err)
	}
	for name, change := range map[string]func(*answer){
		"another header": func(a *answer) { a.Header.Set("Etag", `"2"`) },
		"one header less": func(a *answer) {
			a.Header.Del("X-Keyhole-Cache")
		},
		"another body": func(a *answer) {
			a.Body = []byte(strings.Replace(string(a.Body), `"s"`, `"x"`, 1))
		},
	} {
		other := answer{Header: sample.Header.Clone(), Body: sample.Body}
		change(&other)
		if err := sameAnswers(t.Context(), subject, load.Target{URL: bare(t, other) + "/"}); !errors.Is(err, errDifferent) {
			t.Errorf("%s: got %v, want errDifferent", name, err)
		}
	}
}

func TestAuditLogIsHeldAgainstTheAnswers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	const (
		birth = `{"v":1,"kind":"birth"}` + "\n"
		hit   = `{"v":1,"kind":"access","cache":{"state":"hit","age_ms":1},"result":{"status":200,"bytes":1}}` + "\n"
		miss  = `{"v":1,"kind":"access","cache":{"state":"miss"},"result":{"status":200,"bytes":1}}` + "\n"
		held  = `{"v":1,"kind":"access","cache":{"state":"hit","age_ms":1},"result":{"status":304}}` + "\n"
		deny  = `{"v":1,"kind":"access","result":{"status":403}}` + "\n"
	)
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	l := &auditLog{path: file}
	add(birth + miss)
	if err := l.skip(); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		added         string
		answers, late int
		ok            bool
	}{
		{hit + birth + hit, 2, 0, true},
		{hit + hit + hit, 2, 1, true},
		{hit + hit + hit, 2, 0, false}, // more records than answers
		{hit, 2, 16, false},            // an answer without a record
		{hit + miss, 2, 0, false},      // not a hit
		{hit + miss, 1, 0, false},      // not a hit, and not an answer
		{hit + held, 2, 0, false},      // not a 200
		{hit + deny, 1, 0, false},      // not an answer
		{hit + hit + deny, 1, 2, true}, // refused since the end of the run had cut it off
		{hit + deny + deny, 1, 1, false},
		{"", 0, 0, true},
	} {
		add(row.added)
		g, err := l.next()
		if err != nil {
			t.Fatal(err)
		}
		if err := g.check(row.answers, row.late); (err == nil) != row.ok || err != nil && !errors.Is(err, errNotRecorded) {
			t.Errorf("%q against %d answers and %d: got %v", row.added, row.answers, row.late, err)
		}
	}
}

func TestAlternateTakesMediansOfPairs(t *testing.T) {
	// The machine gets ten times slower on the way; the first run is the warm-up.
	subject, baseline := []float64{1, 70, 60, 8, 6, 7}, []float64{1, 100, 100, 10, 10, 10}
	i, j := 0, 0
	p, err := alternate(t.Context(), 5, func() (float64, error) { i++; return subject[i-1], nil }, func() (float64, error) { j++; return baseline[j-1], nil })
	if want := (paired{value: 8, baseline: 10, ratio: 0.7}); err != nil || p != want {
		t.Errorf("got %+v, %v, want %+v", p, err, want)
	}
	failed := errors.New("failed")
	if _, err := alternate(t.Context(), 5, func() (float64, error) { return 0, failed }, nil); !errors.Is(err, failed) {
		t.Errorf("got %v, want the error of the subject", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	one := func() (float64, error) { return 1, nil }
	if _, err := alternate(ctx, 5, one, one); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestLoopsThatFailAreNoResults(t *testing.T) {
	failed := errors.New("failed")
	if _, _, err := loop(func(b *testing.B) error {
		for b.Loop() {
			return failed
		}
		return nil
	}); !errors.Is(err, failed) {
		t.Errorf("got %v, want the error of the loop", err)
	}
	if _, _, err := loop(func(b *testing.B) error { b.FailNow(); return nil }); !errors.Is(err, errNoLoop) {
		t.Errorf("got %v, want errNoLoop", err)
	}
}

func TestPlainVerifyVerifies(t *testing.T) {
	key, other := testKey(1), testKey(2)
	all, err := signTokens(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := plainVerify(public(key), all[0]); err != nil {
		t.Error(err)
	}
	for name, token := range map[string]string{"": "", "another key": all[0], "a cut": all[1][:len(all[1])-4]} {
		if err := plainVerify(public(other), token); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
}

func TestBadArguments(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{}, {"-run", "("}, {"-unknown"}} {
		if err := run(t.Context(), args, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func testKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
