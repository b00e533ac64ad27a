package vaultfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// ErrExists is wrapped where a backup would take the place of a file: choose another name, or say that it may.
var ErrExists = errors.New("there is a file of this name")

// Snapshot writes the file of a vault that no server has open.
func (f File) Snapshot(ctx context.Context, to io.Writer) (err error) {
	v, err := f.Open(embedded.Config{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	return v.Snapshot(ctx, func(int64) (io.Writer, error) { return to, nil })
}

// Save makes a backup at path of what fill writes, a snapshot of this vault. The file has mode 0600, is opened with the
// vault's key, read to its end and made durable before it has its name. It takes the place of another file only with
// replace, and never that of the vault.
func (f File) Save(ctx context.Context, path string, replace bool, fill func(io.Writer) error) (found embedded.Contents, err error) {
	if err := f.mayBecomeBackup(path, replace); err != nil {
		return found, err
	}
	if err := durable.Sweep(path, beingMade); err != nil {
		return found, fmt.Errorf("making the backup: %w", err)
	}
	temp, err := durable.Temp(path)
	if err != nil {
		return found, fmt.Errorf("making the backup: %w", err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	making, err := embedded.Lock(temp.Name()) // so that another backup to this path does not take it for a leftover
	if err != nil {
		return found, errors.Join(err, temp.Close())
	}
	err = fill(temp)
	if err := errors.Join(err, temp.Sync(), temp.Close(), making.Close()); err != nil {
		return found, fmt.Errorf("making the backup: %w", err)
	}
	copied := f
	copied.Path = temp.Name()
	if found, err = copied.Check(ctx, true); err != nil {
		return found, fmt.Errorf("the backup is not good, it is thrown away: %w", err)
	}
	put := durable.Link
	if replace {
		put = durable.Rename
	}
	if err := put(temp.Name(), path); err != nil {
		return found, fmt.Errorf("naming the backup: %w", err)
	}
	return found, nil
}

// beingMade reports whether a backup that is under way has the file.
func beingMade(name string) bool {
	lock, err := embedded.Lock(name)
	if err != nil {
		return true
	}
	return lock.Close() != nil
}

func (f File) mayBecomeBackup(path string, replace bool) error {
	there, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !replace:
		return fmt.Errorf("%w: %s", ErrExists, path)
	case !there.Mode().IsRegular():
		return fmt.Errorf("%w: %s, and it is no regular file", ErrExists, path)
	}
	if vault, err := os.Stat(f.Path); err == nil && os.SameFile(vault, there) {
		return fmt.Errorf("%w: %s is the vault itself", ErrExists, path)
	}
	return nil
}
