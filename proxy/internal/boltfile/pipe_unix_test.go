//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package boltfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/internal/boltfile"
)

// A named pipe that nobody writes to is refused like any other file of the wrong kind, and not waited for.
func TestOpenRefusesAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []int{os.O_RDONLY, os.O_RDWR} {
		if _, err := boltfile.Open(path, flag); !errors.Is(err, boltfile.ErrForeign) {
			t.Errorf("flag %d: got %v, want ErrForeign", flag, err)
		}
	}
}
