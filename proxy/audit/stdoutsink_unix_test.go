//go:build unix

package audit_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// fifo is a pipe in the role of standard output whose reader may go and come again.
func fifo(t *testing.T) (reader func() *os.File, w *os.File) {
	t.Helper()
	name := t.TempDir() + "/fifo"
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skip("no FIFO can be made here: ", err)
	}
	reader = func() *os.File {
		t.Helper()
		r, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		return r
	}
	r := reader()
	w, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	_ = r.Close()
	return reader, w
}

// A line that a write left incomplete, whether it was waited for to its end or not, is ended before the next begins, and
// holds what was to be written, whatever became of the caller's bytes.
func TestStdoutEndsATornLine(t *testing.T) {
	for name, givenUp := range map[string]bool{"the reader goes": false, "the write is given up before": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reader, w := fifo(t)
			r := reader()
			s := audit.NewStdoutSink(audit.StdoutConfig{Out: w})
			if _, err := s.Open(); err != nil {
				t.Fatal(err)
			}
			line := []byte(strings.Repeat("x", 200<<10) + "\n") // a pipe holds less
			failed := make(chan error, 1)
			go func() { failed <- s.Write(line) }()
			if givenUp {
				if err := <-failed; err == nil {
					t.Error("a write that nobody reads is acknowledged")
				}
				clear(line)
			}
			some := make([]byte, 64<<10)
			n, err := r.Read(some) // then the write has begun
			for errors.Is(err, syscall.EAGAIN) {
				n, err = r.Read(some)
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Close()
			if !givenUp {
				if err := <-failed; !errors.Is(err, syscall.EPIPE) {
					t.Errorf("Write = %v, want EPIPE", err)
				}
			}
			for err = nil; !errors.Is(err, syscall.EPIPE); { // until the one that was given up has ended
				if err = s.Reopen([]byte("lost\n")); err == nil {
					t.Fatal("a write that nobody can read is acknowledged")
				}
			}
			r = reader()
			var rest []byte
			var reading sync.WaitGroup
			reading.Go(func() { rest, err = io.ReadAll(r) })
			if err := errors.Join(s.Reopen([]byte("next\n")), s.Close(), w.Close()); err != nil {
				t.Error(err)
			}
			reading.Wait()
			torn, last, _ := strings.Cut(string(some[:n])+string(rest), "\n")
			if err != nil || strings.Trim(torn, "x") != "" || len(torn) >= len(line) || last != "next\n" {
				t.Errorf("%v: %d bytes of a torn line, then %.20q", err, len(torn), last)
			}
		})
	}
}
