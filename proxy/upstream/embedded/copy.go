package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/internal/boltfile"
)

// batchBytes is how much of a copy is held in memory.
const batchBytes = 8 << 20

// CopyTo makes a vault at path, which must not exist, with the same entries under another master key, or under the same.
// Each data key is wrapped anew, what it sealed stays as it is; entries that were deleted or pruned, whose bytes a file
// keeps until it needs the space, are not in the copy. The copy is durable when CopyTo returns, but for the name of its
// file. On error the file is removed. To know that the copy is whole, Verify it.
func (v *Vault) CopyTo(ctx context.Context, path string, key []byte) (_ Contents, err error) {
	if len(key) != KeyBytes {
		return Contents{}, fmt.Errorf("copying the vault: the master key has %d bytes, %d are needed", len(key), KeyBytes)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Contents{}, fmt.Errorf("copying the vault: %w", err)
	}
	db, err := openBolt(path, file, false)
	if err != nil {
		boltfile.Abandon(file)
		return Contents{}, errors.Join(fmt.Errorf("copying the vault: %w", err), os.Remove(path))
	}
	db.NoSync = true // until the end: half a copy is none
	var found Contents
	err = v.view(ctx, func(tx *bolt.Tx) error {
		found, err = v.copy(ctx, tx, db, key)
		return err
	})
	if err == nil {
		err = db.Sync()
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return Contents{}, errors.Join(fmt.Errorf("copying the vault: %w", err), os.Remove(path))
	}
	return found, nil
}

func (v *Vault) copy(ctx context.Context, tx *bolt.Tx, db *bolt.DB, key []byte) (Contents, error) {
	w := &rewrapper{db: db, id: v.id, random: v.random, key: key}
	if err := w.begin(); err != nil {
		return Contents{}, err
	}
	defer func() { _ = w.tx.Rollback() }() // does nothing after the commit
	if err := makeBucketsOf(w.tx, v.id, key, v.random); err != nil {
		return Contents{}, err
	}
	found, err := v.walk(ctx, tx, w)
	if err != nil {
		return Contents{}, err
	}
	// IDs of changes are never used again, those of settled ones included.
	if err := w.tx.Bucket(bucketOutbox).SetSequence(tx.Bucket(bucketOutbox).Sequence()); err != nil {
		return Contents{}, err
	}
	return found, w.tx.Commit()
}

// rewrapper writes what it sees into another file, under another key.
type rewrapper struct {
	db     *bolt.DB
	id     vaultID
	random io.Reader
	key    []byte

	tx    *bolt.Tx
	held  int // bytes in tx
	entry *entry
}

func (w *rewrapper) begin() (err error) {
	w.tx, err = w.db.Begin(true)
	w.held = 0
	return err
}

func (w *rewrapper) head(e *entry, h head) error {
	if w.held > batchBytes {
		if err := w.next(); err != nil {
			return err
		}
	}
	aead, err := derive(w.key, w.id, "name", e.name)
	if err != nil {
		return err
	}
	w.entry = &entry{w.tx, w.random, w.id, e.name, aead}
	return w.entry.putHead(h)
}

func (w *rewrapper) next() error {
	if err := w.tx.Commit(); err != nil {
		return err
	}
	return w.begin()
}

func (w *rewrapper) version(e *entry, n uint64, b []byte) error {
	created, wrapped, _, _, err := splitRecord(b)
	if err != nil {
		return err
	}
	bound := (&binding{id: w.id, version: n, created: created, name: e.name}).bytes(purposeDataKey)
	key, err := unseal(e.aead, wrapped, bound)
	if err != nil {
		return err
	}
	defer clear(key)
	out := append(make([]byte, 0, len(b)), b[:8]...)
	if out, err = seal(w.entry.aead, w.random, out, key, bound); err != nil {
		return err
	}
	out = append(out, b[8+wrappedBytes:]...)
	w.held += len(out)
	return w.tx.Bucket(bucketVersions).Put(w.entry.key(n), out)
}

func (w *rewrapper) change(key, name []byte) error { return w.tx.Bucket(bucketOutbox).Put(key, name) }
