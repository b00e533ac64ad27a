// Package boltfile opens the data files of bbolt for those who keep their data in one.
//
// The storage library trusts its file: a damaged page makes it panic, fault, or recurse until the stack is gone, which no
// recover catches; and it takes an empty file for a new one. So a file is locked and its structure checked with plain
// reads before the library maps it. Nothing here changes a file.
package boltfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// LockTimeout bounds the wait for another process to let go of a file.
const LockTimeout = time.Second

// What Open refuses, apart from what the system does.
var (
	// ErrLocked: another process, or another user of the file in this one, has it open.
	ErrLocked = errors.New("the file is locked")
	// ErrForeign: the file is none of bbolt's.
	ErrForeign = errors.New("the file is no database of a known kind")
	// ErrDamaged: the file is cut short or altered.
	ErrDamaged = errors.New("its pages do not hold together")
)

// errReplaced: another file took the path while the lock of this one was waited for.
var errReplaced = errors.New("the file was replaced")

// Open opens an existing file with flag, os.O_RDWR or os.O_RDONLY, locks it as the library does, and checks all its pages.
// The lock of a file that is only read is shared with other readers. The library is then given the file, and with it the
// lock, as the answer of its option OpenFile.
func Open(path string, flag int) (*os.File, error) {
	file, err := open(path, flag)
	if errors.Is(err, errReplaced) {
		file, err = open(path, flag) // what is there now
	}
	return file, err
}

func open(path string, flag int) (*os.File, error) {
	file, err := os.OpenFile(path, flag|noWait, 0)
	if err != nil {
		return nil, err
	}
	if err := lockAndCheck(path, file, flag == os.O_RDONLY); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func lockAndCheck(path string, file *os.File, shared bool) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file", ErrForeign)
	}
	if err := lock(file, shared, LockTimeout); err != nil {
		return err
	}
	// A file that lost its name while its lock was waited for would take writes that nobody reads again.
	if named, err := os.Stat(path); err != nil || !os.SameFile(named, info) {
		return errReplaced
	}
	// The size may have changed while another process held the lock.
	if info, err = file.Stat(); err != nil {
		return err
	}
	return Check(file, info.Size())
}

// Lock keeps the library from opening the file at path until the lock is closed. It asks nothing of the file's content.
// It fails with ErrLocked, after LockTimeout, or with what the system says of the path.
func Lock(path string) (io.Closer, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := lock(file, false, LockTimeout); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// Abandon closes a file that the library did not take, and gives up its lock: where the library panicked, it may have the
// file mapped still.
func Abandon(file *os.File) {
	unlock(file) // fails where the library has closed the file, and with it the lock
	_ = file.Close()
}
