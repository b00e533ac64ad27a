package vaultfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// ErrUnfinished is wrapped where a rekey was ended before it was finished: run it again, then this.
var ErrUnfinished = errors.New("a rekey has still to be finished")

// Restored is what came of a restore.
type Restored struct {
	embedded.Contents
	Kept string // the name that the vault has that was there before, "" where there was none
}

// Restore puts the backup in the place of the vault, which no process may have open. keyFile is the master key of the
// backup, "" for that of the vault; the vault has the key of the configuration afterwards. The backup is only read. It
// is copied, and the copy read to its end, before the vault is touched, which then keeps a name of its own.
func (f File) Restore(ctx context.Context, backup, keyFile string, now time.Time) (r Restored, err error) {
	if pending := f.Pending(); pending != "" {
		return r, fmt.Errorf("%w: %s", ErrUnfinished, pending)
	}
	key, err := f.masterKey()
	if err != nil {
		return r, err
	}
	defer clear(key)
	from := f
	from.Path = backup
	if keyFile != "" {
		if keyFile, err = filepath.Abs(keyFile); err != nil {
			return r, err
		}
		from.Key = config.Ref{Scheme: "file", Name: keyFile, Private: true}
	}
	unlock, err := f.lock()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, unlock.Close()) }()
	v, err := from.Open(embedded.Config{ReadOnly: true})
	if err != nil {
		return r, fmt.Errorf("the backup %s: %w", backup, err)
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	if r.Contents, err = f.replacement(ctx, v, key); err != nil {
		return r, fmt.Errorf("the backup %s: %w", backup, err)
	}
	r.Kept, err = f.replace(now)
	return r, err
}

// lock keeps others from opening the vault, where there is one.
func (f File) lock() (io.Closer, error) {
	lock, err := embedded.Lock(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	return lock, err
}

// replacement makes a copy of v under key beside the vault, and reads it to its end.
func (f File) replacement(ctx context.Context, v *embedded.Vault, key []byte) (found embedded.Contents, err error) {
	path := f.copyPath()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	if found, err = v.CopyTo(ctx, path, key); err != nil {
		return found, err
	}
	like := f.Path
	if _, err := os.Stat(like); err != nil {
		like = filepath.Dir(like)
	}
	same, err := verified(ctx, path, key)
	if err == nil {
		err = durable.Inherit(path, like)
	}
	if err == nil && same != found {
		err = fmt.Errorf("%w: its copy holds something else", embedded.ErrCorrupt)
	}
	if err != nil {
		return found, errors.Join(err, os.Remove(path))
	}
	return found, nil
}

func verified(ctx context.Context, path string, key []byte) (found embedded.Contents, err error) {
	v, err := embedded.Open(embedded.Config{Path: path, Key: key, ReadOnly: true})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	return v.Verify(ctx)
}

// replace lets the replacement be the vault. The old file has both names for a moment, so that there always is one.
func (f File) replace(now time.Time) (kept string, err error) {
	kept = aside(f.Path, now, oldSuffix)
	switch err := durable.Link(f.Path, kept); {
	case errors.Is(err, fs.ErrNotExist):
		kept = ""
	case err != nil:
		return "", fmt.Errorf("keeping the old vault: %w", err)
	}
	if err := durable.Rename(f.copyPath(), f.Path); err != nil {
		return kept, fmt.Errorf("replacing the vault: %w", err)
	}
	return kept, nil
}
