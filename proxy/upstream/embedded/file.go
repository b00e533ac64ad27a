package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// lockTimeout bounds the wait for another process to let go of the file.
const lockTimeout = time.Second

// errReplaced: another file took the path while the lock of this one was waited for.
var errReplaced = errors.New("the vault was replaced")

// Lock keeps every vault from being opened at path, where there is a file, until it is closed. It asks nothing of the
// file's content. It fails with ErrLocked, after a second, or with os.ErrNotExist.
func Lock(path string) (io.Closer, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := lockFile(file, false, lockTimeout); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// openChecked opens and locks an existing file and checks all its pages, before anything maps it.
func openChecked(c *Config) (*os.File, error) {
	flag := os.O_RDWR
	if c.ReadOnly {
		flag = os.O_RDONLY
	}
	file, err := os.OpenFile(c.Path, flag, 0)
	if err != nil {
		return nil, err
	}
	if err := checkFile(c, file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func checkFile(c *Config, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a regular file", ErrForeign)
	}
	// The library locks through the same descriptor, which then holds the lock already.
	if err := lockFile(file, c.ReadOnly, lockTimeout); err != nil {
		return err
	}
	// A file that lost its name while its lock was waited for would take writes that nobody reads again.
	if named, err := os.Stat(c.Path); err != nil || !os.SameFile(named, info) {
		return errors.Join(errReplaced, err)
	}
	// The size may have changed while another process held the lock.
	if info, err = file.Stat(); err != nil {
		return err
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		c.Logger.Warn("vault: others may read the file", "path", c.Path, "mode", perm.String())
	}
	return checkPages(file, info.Size())
}

// openBolt hands the library a file, and with it the file's lock.
func openBolt(path string, file *os.File, readOnly bool) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout:  lockTimeout,
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
