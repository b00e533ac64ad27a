package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/keyhole-edge/keyhole/proxy/internal/boltfile"
	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
)

// Lock keeps every vault from being opened at path, where there is a file, until it is closed. It asks nothing of the
// file's content. It fails with ErrLocked, after a second, or with os.ErrNotExist.
func Lock(path string) (io.Closer, error) {
	lock, err := boltfile.Lock(path)
	return lock, explained(err)
}

// openChecked opens and locks an existing file and checks all its pages, before anything maps it.
func openChecked(c *Config) (*os.File, error) {
	flag := os.O_RDWR
	if c.ReadOnly {
		flag = os.O_RDONLY
	}
	file, err := boltfile.Open(c.Path, flag)
	if err != nil {
		return nil, explained(err)
	}
	if info, err := file.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		c.Logger.Warn("vault: others may read the file", "path", c.Path, "mode", info.Mode().Perm().String())
	}
	return file, nil
}

// explained says what a refusal means for a vault.
func explained(err error) error {
	switch {
	case errors.Is(err, boltfile.ErrLocked):
		return ErrLocked
	case errors.Is(err, boltfile.ErrForeign):
		return fmt.Errorf("%w: %w", ErrForeign, err)
	case errors.Is(err, boltfile.ErrDamaged):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// openBolt hands the library a file, and with it the file's lock.
func openBolt(path string, file *os.File, readOnly bool) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:  boltfile.LockTimeout,
		ReadOnly: readOnly,
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return file, nil },
	})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil, unavailable{err}
}

// create makes an empty vault beside its path and links it there when it is whole, so that a vault is never seen
// half-made, and an empty file at the path is known to be damage. If another process was quicker, its vault stands.
func create(c *Config) error {
	dir := filepath.Dir(c.Path)
	file, err := os.CreateTemp(dir, "."+filepath.Base(c.Path)+".*.new") // mode 0600
	if err != nil {
		return err
	}
	temp := file.Name()
	defer func() { _ = os.Remove(temp) }()
	db, err := openBolt(temp, file, false)
	if err != nil {
		_ = file.Close()
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error { return makeBuckets(tx, c.Key, c.Random) })
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(temp, c.Path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return durable.SyncDir(dir)
}
