package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
)

const (
	format   = "keyhole state 1"
	mode     = 0o600
	lockWait = time.Second
)

// openFile opens the file for writing, after a look at it for reading only: bbolt maps the file into memory and would
// crash the process on a page beyond a cut end, as soon as it opens for writing.
func openFile(path string) (*bolt.DB, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("creating it: %w", err)
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return nil, err
	}
	if err := checkStart(path, info); err != nil {
		return nil, err
	}
	db, err := openBolt(path, true)
	if err != nil {
		return nil, err
	}
	err = guard(func() error { return check(db) })
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, err
	}
	if info.Mode().Perm() != mode {
		if err := os.Chmod(path, mode); err != nil {
			return nil, err
		}
	}
	return openBolt(path, false)
}

// checkStart refuses what is too short for bbolt, which has two pages of at least 4 KiB at its start, and an empty file
// above all: bbolt would take it for a new one, and all that was revoked would be forgotten.
func checkStart(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file", ErrForeign)
	}
	if info.Size() >= 2*4096 {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(data) == 0 || len(data) > 20 && bytes.Equal(data[16:20], []byte{0xed, 0xda, 0x0c, 0xed}) {
		return fmt.Errorf("%w: it is cut short to %d bytes", ErrCorrupt, len(data))
	}
	return ErrForeign
}

func openBolt(path string, readOnly bool) (db *bolt.DB, err error) {
	var file *os.File
	open := func(name string, flag int, perm os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, perm)
		file = f
		return f, err
	}
	err = guard(func() error {
		db, err = bolt.Open(path, mode, &bolt.Options{Timeout: lockWait, ReadOnly: readOnly, OpenFile: open})
		return err
	})
	if err != nil && file != nil {
		unlock(file) // bbolt has, and closed it, unless it panicked: the lock must not outlive this attempt
		_ = file.Close()
	}
	var pathErr *fs.PathError
	var errno syscall.Errno
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	case errors.As(err, &pathErr), errors.As(err, &errno), errors.Is(err, ErrCorrupt):
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// check refuses a file that is shorter than its own books say, or not ours.
func check(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
		info, err := os.Stat(db.Path())
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it is cut short to %d of %d bytes", ErrCorrupt, info.Size(), tx.Size())
		}
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			return ErrForeign
		}
		if got := meta.Get(formatKey); string(got) != format {
			return fmt.Errorf("%w: its format is %.40q, this program knows %q", ErrForeign, got, format)
		}
		for _, name := range [][]byte{factsBucket, idsBucket, dropsBucket} {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("%w: it has no %s", ErrCorrupt, name)
			}
		}
		return nil
	})
}

// create makes an empty store beside path and links it there when it is whole and synced, so that a store is never seen
// half-made. If another process was quicker, its store stands.
func create(path string) error {
	dir := filepath.Dir(path)
	tmp, err := os.MkdirTemp(dir, ".state-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	whole := filepath.Join(tmp, "new")
	db, err := bolt.Open(whole, mode, &bolt.Options{Timeout: lockWait})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{metaBucket, factsBucket, idsBucket, dropsBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(formatKey, []byte(format))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(whole, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(dir)
}
