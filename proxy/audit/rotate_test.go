package audit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

const rotateAt = 16 << 10

func rotatingLog(t testing.TB, path string, keep int, logger *slog.Logger) *audit.Log {
	t.Helper()
	s, err := audit.NewFileSink(audit.FileConfig{Path: path, Retention: audit.Retention{Rotate: rotateAt, Keep: keep}, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	return newLog(t, s)
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := rotatingLog(t, path, 0, nil)
	for range 100 {
		appendOne(t, l)
	}
	closeLog(t, l)
	l = rotatingLog(t, path, 0, nil)
	for range 100 {
		appendOne(t, l)
	}
	closeLog(t, l)

	files, r, err := audit.VerifyLog(path, audit.Retention{}, audit.VerifyOptions{PublicKey: audittest.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	if r.Files != len(files) || r.Rotations != len(files)-1 || r.Rotations < 5 || r.Failures+r.Unsealed != 0 || !r.Sealed {
		t.Errorf("got %+v of %d files, want a rotation between any two, and nothing else to tell", r, len(files))
	}
	for _, f := range files[:len(files)-1] {
		if n := len(read(t, f)); n < rotateAt || n > rotateAt+4<<10 {
			t.Errorf("%s holds %d bytes, want little more than %d", f, n, rotateAt)
		}
	}
}

// Records that come while the file gets full go out in order, each once.
func TestRotationUnderLoad(t *testing.T) {
	var m audittest.Memory
	m.Rotate(4000)
	l := newLog(t, &m)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				if err := l.Append(context.Background(), audittest.Access()); err != nil {
					t.Errorf("Append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	r := verify(t, m.Sources())
	if want := uint64(16*50 + 1 + 1 + r.Rotations); r.Records != want || r.Rotations == 0 || r.Failures != 0 {
		t.Errorf("got %+v, want %d records, rotations and no failure", r, want)
	}
}

// The batch that was to begin the new file is chained to one that fails: both are refused, and the log goes on after the
// last that was acknowledged.
func TestRotationAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{Memory: &audittest.Memory{}}
		l := newLog(t, g)
		g.Rotate(1)
		appendOne(t, l) // fills the file
		g.Rotate(0)
		g.entered, g.answer = make(chan struct{}), make(chan error)
		g.rotating = true
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- l.Append(context.Background(), audittest.Access()) }()
			synctest.Wait()
		}
		<-g.entered
		g.answer <- errDisk
		for range 2 {
			if err := <-done; !errors.Is(err, audit.ErrUnavailable) {
				t.Errorf("Append = %v, want ErrUnavailable", err)
			}
		}
		g.entered, g.rotating = nil, false
		appendOne(t, l)
		closeLog(t, l)
		if r := verify(t, g.Sources()); r.Failures != 1 || r.Rotations != 0 || r.Records != 5 {
			t.Errorf("got %+v, want one failure, no rotation, two births, two records, a seal", r)
		}
	})
}

// While a batch is on its way to a full file, the next one begins the new file after it; the one after that stays there.
func TestRotationBehindABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{Memory: &audittest.Memory{}, rotating: true}
		l := newLog(t, g)
		g.entered, g.answer = make(chan struct{}), make(chan error)
		const appends = 4
		done := make(chan error, appends)
		add := func() {
			go func() { done <- l.Append(context.Background(), audittest.Access()) }()
			synctest.Wait()
		}
		pass := func() {
			<-g.entered
			g.answer <- nil
			synctest.Wait()
		}
		add()  // begins the second file
		add()  // waits, for the same file
		pass() // the second file is full now, too, and the second batch is on its way to it
		add()  // begins the third file behind it
		pass()
		add() // follows into the third file
		pass()
		pass()
		for range appends {
			if err := <-done; err != nil {
				t.Errorf("Append: %v", err)
			}
		}
		g.entered = nil
		closeLog(t, l)
		if r := verify(t, g.Sources()); r.Rotations != 2 || r.Failures != 0 {
			t.Errorf("got %+v, want two rotations", r)
		}
	})
}

func TestRetention(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	const keep = 3
	r := audit.Retention{Rotate: rotateAt, Keep: keep}
	o := audit.VerifyOptions{PublicKey: audittest.PublicKey()}
	l := rotatingLog(t, path, keep, nil)
	var first []string
	for n := 0; ; n++ {
		appendOne(t, l)
		files, report, err := audit.VerifyLog(path, r, o)
		if err != nil {
			t.Fatalf("after %d records: %v", n, err)
		}
		if len(files) > keep+1 {
			t.Fatalf("%d files, want at most %d and the current one", len(files), keep)
		}
		if len(files) == keep+1 && first == nil {
			first = files
			if !report.Begins.IsZero() {
				t.Errorf("the log begins after %v although nothing was removed", report.Begins)
			}
		}
		if len(first) > 0 && files[1] == first[2] {
			break // the oldest is gone
		}
	}
	files, report, err := audit.VerifyLog(path, r, o)
	if err != nil || report.Begins.IsZero() || report.Unsealed+report.Failures != 0 {
		t.Fatalf("got %+v, %v; want a log that begins after a record", report, err)
	}
	birth, _, _ := strings.Cut(read(t, files[0]), "\n")
	claimed := decode(t, birth)
	if want := (audit.Position{Instance: claimed.Chain.Continues.Instance, Seq: claimed.Chain.Continues.Seq, Hash: claimed.Chain.Prev}); report.Begins != want {
		t.Errorf("begins after %v, want %v", report.Begins, want)
	}

	if _, err := audit.VerifyFiles(files, o); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("without retention: %v, want ErrTampered", err)
	}
	withAfter := o
	withAfter.After = report.Begins
	if again, err := audit.VerifyFiles(files, withAfter); err != nil || again.Begins != report.Begins {
		t.Errorf("after the position that it names: %+v, %v", again, err)
	}
	withAfter.After.Hash[0]++
	if _, err := audit.VerifyFiles(files, withAfter); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("after another position: %v, want ErrTampered", err)
	}
	closeLog(t, l)

	// One more is gone than retention takes: somebody else removed it.
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := audit.VerifyLog(path, r, o); !errors.Is(err, audit.ErrTampered) {
		t.Errorf("with too few files: %v, want ErrTampered", err)
	}
	o.OldestGone = true
	if _, _, err := audit.VerifyLog(path, r, o); err != nil {
		t.Errorf("with too few files, which was asked for: %v", err)
	}
}

// A disk that fails again and again leaves many short files. They must not push out full ones.
func TestRetentionOfShortFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	s, err := audit.NewFileSink(audit.FileConfig{Path: path, Retention: audit.Retention{Rotate: rotateAt, Keep: 2}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(); err != nil {
		t.Fatal(err)
	}
	whole := bytes.Repeat([]byte("x"), rotateAt+100)
	for _, batch := range [][]byte{whole, []byte("1"), []byte("2"), []byte("3"), []byte("4")} {
		if err := s.Reopen(batch); err != nil {
			t.Fatal(err)
		}
	}
	files, err := audit.Files(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 6 { // the empty first one and all of these: 16 KiB and 4 × 4 KiB fill 2 × 16 KiB
		t.Errorf("%d files, want 6", len(files))
	}
	if err := s.Reopen(whole); err != nil {
		t.Fatal(err)
	}
	files, err = audit.Files(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 6 || len(read(t, files[0])) != len(whole) {
		t.Errorf("%d files, the oldest of %d bytes; want 6, the empty one gone", len(files), len(read(t, files[0])))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// What was removed is told to whoever reads the program's log.
func TestRetentionIsLogged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := rotatingLog(t, path, 1, nil)
	for range 60 {
		appendOne(t, l)
	}
	closeLog(t, l)
	files, err := audit.Files(path)
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	l = rotatingLog(t, path, 1, slog.New(slog.NewTextHandler(&logged, nil)))
	for range 30 {
		appendOne(t, l)
	}
	closeLog(t, l)
	if !strings.Contains(logged.String(), "removed by retention") || !strings.Contains(logged.String(), filepath.Base(files[0])) {
		t.Errorf("the program's log does not name the file that was removed:\n%s", logged.String())
	}
}

// The log is verified while it is written: files change their names and go away in the middle.
func TestVerifyLogWhileItRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	const (
		keep    = 6
		perFile = 20 // records, or more
		removed = 3  // files while one verification goes on, or one more: fewer than it begins again
	)
	l := rotatingLog(t, path, keep, nil)
	for files := []string(nil); len(files) <= keep; {
		for range perFile {
			appendOne(t, l)
		}
		var err error
		if files, err = audit.Files(path); err != nil {
			t.Fatal(err)
		}
	}
	more := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range more {
			for range removed * perFile {
				appendOne(t, l)
			}
		}
	})
	for range 30 {
		more <- struct{}{}
		if _, _, err := audit.VerifyLog(path, audit.Retention{Rotate: rotateAt, Keep: keep}, audit.VerifyOptions{PublicKey: audittest.PublicKey()}); err != nil {
			t.Error(err)
			break
		}
	}
	close(more)
	wg.Wait()
	closeLog(t, l)
}

// The file that was opened as the current one stands among the older ones by the time these are listed.
func TestVerifyLogRenamedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := rotatingLog(t, path, 0, nil)
	for range 50 {
		appendOne(t, l)
	}
	closeLog(t, l)
	renamed := strings.TrimSuffix(path, ".jsonl") + "-" + audit.NewID(time.Now().Add(time.Hour)) + ".jsonl"
	if err := os.Link(path, renamed); err != nil {
		t.Fatal(err)
	}
	files, r, err := audit.VerifyLog(path, audit.Retention{}, audit.VerifyOptions{PublicKey: audittest.PublicKey()})
	if err != nil || r.Files != len(files) || files[len(files)-1] != path || !r.Sealed {
		t.Errorf("got %v, %+v, %v; want the older files and the current one, once", files, r, err)
	}
}

func TestPosition(t *testing.T) {
	for _, instance := range []string{"node", "2026/11/21/[$LATEST]abc", "a:1:b"} {
		want := audit.Position{Instance: instance, Seq: 1<<64 - 1, Hash: audit.Hash{1, 2, 3}}
		if got, err := audit.ParsePosition(want.String()); err != nil || got != want {
			t.Errorf("%v: got %v, %v", want, got, err)
		}
	}
	hash := audit.Hash{}.String()
	for _, s := range []string{"", ":", "::", "node:1", "node:1:", "node:0:" + hash, "node:-1:" + hash, ":1:" + hash, "1:" + hash, "node:1:" + hash[1:], "no de:1:" + hash} {
		if got, err := audit.ParsePosition(s); err == nil {
			t.Errorf("%q: got %v", s, got)
		}
	}
}

// A full file is better than none: where the next one cannot be opened the log goes on, says so once, and tries again.
func TestRotationThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "audit.jsonl")
		var out bytes.Buffer
		l := rotatingLog(t, path, 0, slog.New(slog.NewTextHandler(&out, nil)))
		inTheWay := path + ".new"
		if err := os.Mkdir(inTheWay, 0o700); err != nil {
			t.Fatal(err)
		}
		const records = 60
		for range records {
			appendOne(t, l)
		}
		time.Sleep(20 * time.Second) // it is tried again, and fails again
		appendOne(t, l)
		if err := l.Healthy(); err != nil {
			t.Error(err)
		}
		if files, err := audit.Files(path); err != nil || len(files) != 1 {
			t.Errorf("%v, %v; want the one file that can be written", files, err)
		}
		if err := os.Remove(inTheWay); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		appendOne(t, l) // finds that there can be a new file
		synctest.Wait() // until it is there
		appendOne(t, l) // begins it
		closeLog(t, l)
		if failed, back := strings.Count(out.String(), "cannot be opened"), strings.Count(out.String(), "again"); failed != 1 || back != 1 {
			t.Errorf("the log of the program says\n%s", out.String())
		}
		files, r, err := audit.VerifyLog(path, audit.Retention{}, audit.VerifyOptions{PublicKey: audittest.PublicKey()})
		if err != nil || len(files) != 2 || r.Rotations != 1 || r.Failures != 0 || !r.Sealed {
			t.Errorf("got %+v of %d files, %v", r, len(files), err)
		}
	})
}
