package audit_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// written makes a sealed log with n records.
func written(t *testing.T, path string, n int) {
	t.Helper()
	l := newLog(t, fileSink(t, path, audit.Process))
	for range n {
		appendOne(t, l)
	}
	closeLog(t, l)
}

func TestFileMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	written(t, path, 1)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %o, want 600", got)
	}
}

func TestTornLine(t *testing.T) {
	for name, row := range map[string]struct{ torn, again string }{
		"part of a line": {torn: `{"v":1,"id":"01K`},
		"zeros":          {torn: strings.Repeat("\x00", 200_000)},
		"twice":          {torn: `{"v":1,`, again: `{"v":1`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.jsonl")
			written(t, path, 2)
			for _, torn := range []string{row.torn, row.again} {
				if torn == "" {
					continue
				}
				put(t, path, read(t, path)+torn)
				written(t, path, 1)
				var got []uint64
				err := audit.Scan(strings.NewReader(read(t, path)), func(_ []byte, r *audit.Record) error {
					if r.Kind == audit.Torn {
						got = append(got, r.Chain.TornBytes)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if len(got) == 0 || got[len(got)-1] != uint64(len(torn)) {
					t.Errorf("torn records tell of %d bytes, want %d in the last", got, len(torn))
				}
			}
			if got, want := read(t, path+".torn"), row.torn+row.again; got != want {
				t.Errorf("moved %d bytes, want %d", len(got), len(want))
			}
			verify(t, fileSources(t, path))
		})
	}
}

func TestTornFirstLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	put(t, path, `{"v":1,"id"`)
	written(t, path, 1)
	if r := verify(t, fileSources(t, path)); r.Records != 4 { // birth torn access seal
		t.Errorf("%d records, want 4", r.Records)
	}
}

func TestRefusesWhatIsNotALog(t *testing.T) {
	dir := t.TempDir()
	written(t, filepath.Join(dir, "good"), 2)
	good := read(t, filepath.Join(dir, "good"))
	_, noBirth, _ := strings.Cut(good, "\n")
	for name, text := range map[string]string{
		"text":                "hello\n",
		"text without end":    "hello",
		"one byte":            "[",
		"other JSON lines":    "{\"v\":1}\n{\"v\":1}\n",
		"long line":           `{"v":1,"id":"` + strings.Repeat("x", audit.MaxLineBytes) + "\n",
		"long line, no end":   `{"v":1,"id":"` + strings.Repeat("x", audit.MaxLineBytes),
		"without birth":       noBirth,
		"last line edited":    strings.TrimSuffix(good, "\"}\n") + "0\"}\n",
		"last line not a log": good + "hello\n",
		"last line empty":     good + "\n",
	} {
		path := filepath.Join(dir, "audit.jsonl")
		put(t, path, text)
		_, err := audit.New(audit.Config{Sink: fileSink(t, path, audit.Process), Key: audittest.Key()})
		if !errors.Is(err, audit.ErrNotLog) {
			t.Errorf("%s: New = %v, want ErrNotLog", name, err)
		}
		if read(t, path) != text {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestRefusesOtherPlaces(t *testing.T) {
	dir := t.TempDir()
	device := filepath.Join(dir, "device")
	if err := os.Symlink(os.DevNull, device); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{device, filepath.Join(dir, "directory"), filepath.Join(dir, "missing", "audit.jsonl")} {
		if _, err := audit.New(audit.Config{Sink: fileSink(t, path, audit.Process), Key: audittest.Key()}); err == nil {
			t.Errorf("%s: New took it", path)
		}
	}
}

// Reopen may be killed between its two renames; what it had written is then the log's current file.
func TestInterruptedReopen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	written(t, path, 2)

	put(t, path+".new", "never acknowledged")
	written(t, path, 1)
	if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}

	if err := os.Rename(path, path+".new"); err != nil {
		t.Fatal(err)
	}
	written(t, path, 1)
	if r := verify(t, fileSources(t, path)); r.Records != 4+3+3 {
		t.Errorf("%d records, want 10: the log goes on where it was", r.Records)
	}
}

func TestFilesOrder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	sink, err := audit.NewFileSink(audit.FileConfig{Path: path, Wall: func() time.Time {
		now = now.Add(-time.Hour) // a clock that is set back must not change the order
		return now
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Open(); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"1", "2", "3"} {
		if err := sink.Reopen([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "audit-x.jsonl"), "not ours")
	put(t, filepath.Join(dir, "other.jsonl"), "not ours")
	files, err := audit.Files(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, read(t, f))
	}
	if want := ",1,2,3"; strings.Join(got, ",") != want {
		t.Errorf("Files in order hold %q, want %q", got, want)
	}
	if _, err := audit.Files(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Files of no log = %v, want ErrNotExist", err)
	}
}

func TestNewFileSinkRefuses(t *testing.T) {
	for _, c := range []audit.FileConfig{{}, {Path: "x", Durability: 9}} {
		if _, err := audit.NewFileSink(c); err == nil {
			t.Errorf("NewFileSink(%+v) took it", c)
		}
	}
}

// A folder that is missing is said to be, with what to do.
func TestMissingFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	s := fileSink(t, filepath.Join(dir, "audit.jsonl"), audit.Process)
	if _, err := s.Open(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "mkdir -m 700 "+dir) {
		t.Errorf("Open = %v, want what to do", err)
	}
}
