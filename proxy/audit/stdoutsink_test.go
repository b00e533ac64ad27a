package audit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

// brokenEnv has the child write to a standard output that nobody reads.
const brokenEnv = "KEYHOLE_AUDIT_TEST_BROKEN"

func TestStdoutSinkConforms(t *testing.T) {
	audittest.Run(t, func(t *testing.T) audittest.Harness {
		file, err := os.Create(t.TempDir() + "/out")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		return audittest.Harness{
			Shared: true,
			Sink:   func(*testing.T) audit.Sink { return audit.NewStdoutSink(audit.StdoutConfig{Out: file}) },
			Sources: func(t *testing.T) []audit.Source {
				text, err := os.ReadFile(file.Name())
				if err != nil {
					t.Fatal(err)
				}
				return []audit.Source{{Name: "out", Reader: bytes.NewReader(text)}}
			},
		}
	})
}

// pipe is a pipe in the role of standard output.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// Lines of two writers of one pipe stay whole while the pipe is full most of the time.
func TestStdoutLinesAreWhole(t *testing.T) {
	r, w := pipe(t)
	var text []byte
	var read error
	var reading, writing sync.WaitGroup
	reading.Go(func() { text, read = io.ReadAll(r) })
	for range 2 {
		writing.Go(func() {
			l := newLog(t, audit.NewStdoutSink(audit.StdoutConfig{Out: w}))
			var appending sync.WaitGroup
			for range 8 {
				appending.Go(func() {
					for range 50 {
						if err := l.Append(context.Background(), audittest.Access()); err != nil {
							t.Errorf("Append: %v", err)
						}
					}
				})
			}
			appending.Wait()
			closeLog(t, l)
		})
	}
	writing.Wait()
	_ = w.Close()
	reading.Wait()
	if read != nil {
		t.Fatal(read)
	}
	lines := 0
	err := audit.Scan(bytes.NewReader(text), func([]byte, *audit.Record) error {
		lines++
		return nil
	})
	if want := 2 * (8*50 + 2); err != nil || lines != want {
		t.Errorf("%d lines, %v; want %d whole ones", lines, err, want)
	}
}

// A line that is longer than what a pipe takes as a whole goes out all the same.
func TestStdoutLongLine(t *testing.T) {
	r, w := pipe(t)
	var text []byte
	var reading sync.WaitGroup
	reading.Go(func() { text, _ = io.ReadAll(r) })
	s := audit.NewStdoutSink(audit.StdoutConfig{Out: w})
	if _, err := s.Open(); err != nil {
		t.Fatal(err)
	}
	want := "short\n" + strings.Repeat("x", 70<<10) + "\nshort\n"
	if err := s.Write([]byte(want)); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_ = w.Close()
	reading.Wait()
	if string(text) != want {
		t.Errorf("%d bytes arrived, want %d", len(text), len(want))
	}
}

func TestStdoutThatNobodyReads(t *testing.T) {
	r, w := pipe(t)
	l := newLog(t, audit.NewStdoutSink(audit.StdoutConfig{Out: w}))
	var err error
	for range 1000 { // a pipe holds less
		if err = l.Append(context.Background(), audittest.Access()); err != nil {
			break
		}
	}
	if !errors.Is(err, audit.ErrUnavailable) {
		t.Fatalf("Append = %v, want ErrUnavailable", err)
	}
	if err := l.Append(context.Background(), audittest.Access()); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("Append = %v while the write blocks, want ErrUnavailable", err)
	}
	_ = r.Close() // the write that blocks ends
	if err := l.Close(); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("Close = %v, want that there is no seal", err)
	}
}

// broken runs in the child: the test has closed the other end of its standard output.
func broken() int {
	l, err := audit.New(audit.Config{Sink: audit.NewStdoutSink(audit.StdoutConfig{}), Key: audittest.Key()})
	if err != nil {
		return 9
	}
	err = l.Append(context.Background(), audittest.Access())
	if !errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, syscall.EPIPE) {
		return 10
	}
	return 0
}

// A reader who has gone is an error, where the runtime of Go ends a process that writes to number 1 itself.
func TestStdoutBrokenPipe(t *testing.T) {
	r, w := pipe(t)
	cmd := childCommand(t, "-", brokenEnv+"=1")
	cmd.Stdout = w
	_ = r.Close()
	if err := cmd.Run(); err != nil {
		t.Errorf("the child: %v", err)
	}
}
