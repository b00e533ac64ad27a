package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/internal/boltfile"
	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
)

const (
	format = "keyhole state 1"
	mode   = 0o600
)

// openFile opens the file, or creates it. All its pages are checked before anything maps it.
func openFile(path string) (*bolt.DB, error) {
	file, err := boltfile.Open(path, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("creating it: %w", err)
		}
		file, err = boltfile.Open(path, os.O_RDWR)
	}
	switch {
	case errors.Is(err, boltfile.ErrLocked):
		return nil, ErrLocked
	case errors.Is(err, boltfile.ErrForeign):
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	case errors.Is(err, boltfile.ErrDamaged):
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case err != nil:
		return nil, err
	}
	db, err := openBolt(path, file)
	if err != nil {
		boltfile.Abandon(file)
		return nil, err
	}
	if err := guard(func() error { return check(db) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := file.Chmod(mode); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openBolt hands the library a file, and with it the file's lock.
func openBolt(path string, file *os.File) (db *bolt.DB, err error) {
	options := &bolt.Options{
		Timeout:  boltfile.LockTimeout,
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return file, nil },
	}
	err = guard(func() error {
		db, err = bolt.Open(path, mode, options)
		return err
	})
	var errno syscall.Errno
	switch {
	case err == nil:
		return db, nil
	case errors.As(err, &errno), errors.Is(err, ErrCorrupt):
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// check refuses a file that is not ours.
func check(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
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
	db, err := bolt.Open(whole, mode, &bolt.Options{Timeout: boltfile.LockTimeout})
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
