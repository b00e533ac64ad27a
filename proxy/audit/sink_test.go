package audit_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

func TestFileSinkConforms(t *testing.T) {
	for name, d := range map[string]audit.Durability{"process": audit.Process, "strict": audit.Strict} {
		t.Run(name, func(t *testing.T) {
			audittest.Run(t, func(t *testing.T) audittest.Harness {
				path := filepath.Join(t.TempDir(), "audit.jsonl")
				return audittest.Harness{
					Sink:      func(t *testing.T) audit.Sink { return fileSink(t, path, d) },
					Sources:   func(t *testing.T) []audit.Source { return fileSources(t, path) },
					ReadsBack: true,
				}
			})
		})
	}
}

func TestMemoryConforms(t *testing.T) {
	audittest.Run(t, func(*testing.T) audittest.Harness {
		var m audittest.Memory
		return audittest.Harness{
			Sink:      func(*testing.T) audit.Sink { return &second{Memory: &m} },
			Sources:   func(*testing.T) []audit.Source { return m.Sources() },
			ReadsBack: true,
		}
	})
}

// second keeps a refused sink from closing the one that is open: both are the same Memory.
type second struct {
	*audittest.Memory
	opened bool
}

func (s *second) Open() (audit.Tail, error) {
	tail, err := s.Memory.Open()
	s.opened = err == nil
	return tail, err
}

func (s *second) Close() error {
	if !s.opened {
		return nil
	}
	return s.Memory.Close()
}

func fileSink(t testing.TB, path string, d audit.Durability) *audit.FileSink {
	t.Helper()
	s, err := audit.NewFileSink(audit.FileConfig{Path: path, Durability: d})
	if err != nil {
		t.Fatalf("NewFileSink: %v", err)
	}
	return s
}

func fileSources(t testing.TB, path string) []audit.Source {
	t.Helper()
	files, err := audit.Files(path)
	if err != nil {
		t.Fatalf("Files: %v", err)
	}
	var out []audit.Source
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, audit.Source{Name: filepath.Base(f), Reader: bytes.NewReader(text)})
	}
	return out
}

func newLog(t testing.TB, s audit.Sink) *audit.Log {
	t.Helper()
	l, err := audit.New(audit.Config{Sink: s, Key: audittest.Key()})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return l
}

func verify(t testing.TB, sources []audit.Source) audit.Report {
	t.Helper()
	r, err := audit.Verify(sources, audit.VerifyOptions{PublicKey: audittest.PublicKey()})
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return r
}
