package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/keyhole-edge/keyhole/proxy/internal/boltfile"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// openChecked opens and locks an existing file and checks all its pages, before anything maps it.
func openChecked(c *Config) (*os.File, error) {
	file, err := boltfile.Open(c.Path)
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
	if info, err := file.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		c.Logger.Warn("vault: others may read the file", "path", c.Path, "mode", info.Mode().Perm().String())
	}
	return file, nil
}

// openBolt hands the library a file, and with it the file's lock.
func openBolt(path string, file *os.File) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:  boltfile.LockTimeout,
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
	return nil, fmt.Errorf("%w: %w", secret.ErrUnavailable, err)
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
	db, err := openBolt(temp, file)
	if err != nil {
		_ = file.Close()
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error { return writeHeader(tx, c.Key, c.Random) })
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(temp, c.Path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a new directory entry durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
