package embedded

import (
	"bytes"
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Contents is what a vault holds.
type Contents struct {
	Secrets  int `json:"secrets"`  // that exist
	Deleted  int `json:"deleted"`  // names whose numbers stay used
	Versions int `json:"versions"` // kept, of all secrets
	Pending  int `json:"pending"`  // changes that are not announced yet
}

// Verify opens every entry, values included, and holds what belongs together against each other. It fails with ErrCorrupt
// where anything is missing, altered or too many. Values are wiped as it goes.
func (v *Vault) Verify(ctx context.Context) (Contents, error) {
	var found Contents
	err := v.view(ctx, func(tx *bolt.Tx) (err error) {
		found, err = v.walk(ctx, tx, checkOnly{})
		return err
	})
	if err != nil {
		return Contents{}, fmt.Errorf("verifying the vault: %w", err)
	}
	return found, nil
}

// visitor is told of each entry, in the order of names, and within a name the head first.
type visitor interface {
	head(e *entry, h head) error
	version(e *entry, n uint64, record []byte) error
	change(key, name []byte) error
}

// walk counts what it shows to see.
func (v *Vault) walk(ctx context.Context, tx *bolt.Tx, see visitor) (Contents, error) {
	var found Contents
	c := tx.Bucket(bucketHeads).Cursor()
	for name, box := c.First(); name != nil; name, box = c.Next() {
		if err := secret.ContextError(ctx); err != nil {
			return found, err
		}
		if err := v.walkName(tx, string(name), box, see, &found); err != nil {
			return found, err
		}
	}
	if n := tx.Bucket(bucketVersions).Stats().KeyN; n != found.Versions {
		return found, fmt.Errorf("%w: it holds %d versions, its heads tell of %d", ErrCorrupt, n, found.Versions)
	}
	c = tx.Bucket(bucketOutbox).Cursor()
	for key, name := c.First(); key != nil; key, name = c.Next() {
		if _, err := decodeChange(key, name); err != nil {
			return found, err
		}
		if err := see.change(key, name); err != nil {
			return found, err
		}
		found.Pending++
	}
	return found, nil
}

func (v *Vault) walkName(tx *bolt.Tx, name string, box []byte, see visitor, found *Contents) error {
	if _, err := secret.ParsePath(name); err != nil {
		return fmt.Errorf("%w: a secret has no valid name", ErrCorrupt)
	}
	e, err := v.entry(tx, name)
	if err != nil {
		return err
	}
	h, err := e.openHead(box)
	if err != nil {
		return err
	}
	if err := see.head(e, h); err != nil {
		return err
	}
	if !h.exists() {
		found.Deleted++
		return nil
	}
	found.Secrets++
	c := tx.Bucket(bucketVersions).Cursor()
	key, record := c.Seek(e.key(h.oldest))
	for n := h.oldest; n <= h.last; n++ {
		if !bytes.Equal(key, e.key(n)) {
			return fmt.Errorf("%w: a version is missing", ErrCorrupt)
		}
		if err := see.version(e, n, record); err != nil {
			return err
		}
		found.Versions++
		key, record = c.Next()
	}
	return nil
}

// checkOnly opens what it sees.
type checkOnly struct{}

func (checkOnly) head(*entry, head) error { return nil } // walk has opened it

func (checkOnly) version(e *entry, n uint64, b []byte) error {
	r, err := e.openRecord(n, b)
	if err != nil {
		return err
	}
	if _, err := r.openMetadata(); err != nil {
		return err
	}
	plain, err := r.openPayload()
	if err != nil {
		return err
	}
	defer clear(plain)
	return decodePayload(plain, &secret.Secret{})
}

func (checkOnly) change([]byte, []byte) error { return nil }
