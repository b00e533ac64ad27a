// Package boltfile opens the data files of bbolt for those who keep their data in one.
//
// The storage library trusts its file: a damaged page makes it panic, fault, or recurse until the stack is gone, which no
// recover catches; and it takes an empty file for a new one. So a file is locked and its structure checked with plain
// reads before the library maps it. Nothing here changes a file.
package boltfile

import (
	"errors"
	"fmt"
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

// Open opens an existing file for reading and writing, locks it as the library does, and checks all its pages. The library
// is then given the file, and with it the lock, as the answer of its option OpenFile.
func Open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := lockAndCheck(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func lockAndCheck(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file", ErrForeign)
	}
	if err := lock(file, LockTimeout); err != nil {
		return err
	}
	// The size may have changed while another process held the lock.
	if info, err = file.Stat(); err != nil {
		return err
	}
	return Check(file, info.Size())
}

// Abandon closes a file that the library did not take, and gives up its lock: where the library panicked, it may have the
// file mapped still.
func Abandon(file *os.File) {
	unlock(file) // fails where the library has closed the file, and with it the lock
	_ = file.Close()
}
