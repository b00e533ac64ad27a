//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package boltfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// noWait opens a named pipe, which is no database, without waiting for its other end. For a file it means nothing.
const noWait = syscall.O_NONBLOCK

// lock takes the lock that the storage library takes, through the same descriptor, so that pages are checked while
// nobody writes them.
func lock(file *os.File, shared bool, wait time.Duration) error {
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	const pause = 20 * time.Millisecond
	for ; ; wait -= pause {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("locking: %w", err)
		case wait <= 0:
			return ErrLocked
		}
		time.Sleep(pause)
	}
}

// unlock gives up the lock of file. Closing it is not enough while its pages are mapped, which after a panic they are.
func unlock(file *os.File) { _ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN) }
