package embedded

import (
	"bytes"
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// List reads names from the one index that is kept in the clear, and opens the metadata of each current version, never
// its value. A prefix that is no valid path fails with secret.ErrInvalidPath.
func (v *Vault) List(ctx context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	if prefix != "" {
		if _, err := secret.ParsePath(prefix); err != nil {
			return nil, fmt.Errorf("listing vault: %w", err)
		}
	}
	var items []secret.Item
	err := v.view(ctx, func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketHeads).Cursor()
		for k, box := seek(c, prefix, after); k != nil && len(items) < limit; k, box = next(c, prefix) {
			if err := secret.ContextError(ctx); err != nil {
				return err
			}
			item, ok, err := v.item(tx, string(k), box)
			if err != nil {
				return err
			}
			if ok {
				items = append(items, item)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing vault: %w", err)
	}
	return items, nil
}

// seek and next walk the names of a listing.
func seek(c *bolt.Cursor, prefix, after string) (name, box []byte) {
	name, box = c.Seek([]byte(max(prefix, after)))
	if after != "" && string(name) == after {
		return next(c, prefix)
	}
	return within(c, name, box, prefix)
}

func next(c *bolt.Cursor, prefix string) (name, box []byte) {
	name, box = c.Next()
	return within(c, name, box, prefix)
}

// within returns the name if it belongs to the listing, or else the next that does. Under the prefix "a/b" are "a/b"
// itself and what begins with "a/b/"; bytewise, "a/b-c" and "a/b.c" stand between the two and are jumped over.
func within(c *bolt.Cursor, name, box []byte, prefix string) ([]byte, []byte) {
	if name == nil || prefix == "" || string(name) == prefix {
		return name, box
	}
	below := []byte(prefix + "/")
	if bytes.Compare(name, below) < 0 {
		name, box = c.Seek(below)
	}
	if !bytes.HasPrefix(name, below) {
		return nil, nil
	}
	return name, box
}

// item is false for a deleted secret.
func (v *Vault) item(tx *bolt.Tx, name string, box []byte) (secret.Item, bool, error) {
	e, err := v.entry(tx, name)
	if err != nil {
		return secret.Item{}, false, err
	}
	h, err := e.openHead(box)
	if err != nil || !h.exists() {
		return secret.Item{}, false, err
	}
	r, err := e.version(h.last)
	if err != nil {
		return secret.Item{}, false, err
	}
	m, err := r.openMetadata()
	if err != nil {
		return secret.Item{}, false, err
	}
	return secret.Item{Name: name, Version: formatNumber(h.last), UpdatedAt: timeOf(h.updated), Metadata: m}, true, nil
}
