package embedded

import (
	"context"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// MaxPending bounds one answer of Pending, and with it the memory of whoever drains a long outbox.
const MaxPending = 10_000

// Pending returns unsettled changes in the order of their commits, at most the MaxPending oldest. Whoever drains the
// outbox settles these and asks again until none are left. IDs rise and are never used again.
func (v *Vault) Pending(ctx context.Context) ([]secret.Change, error) {
	var changes []secret.Change
	err := v.view(ctx, func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketOutbox).Cursor()
		for k, name := c.First(); k != nil && len(changes) < MaxPending; k, name = c.Next() {
			change, err := decodeChange(k, name)
			if err != nil {
				return err
			}
			changes = append(changes, change)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading vault outbox: %w", err)
	}
	return changes, nil
}

func decodeChange(key, name []byte) (secret.Change, error) {
	if len(key) != 8 {
		return secret.Change{}, fmt.Errorf("%w: a change makes no sense", ErrCorrupt)
	}
	if _, err := secret.ParsePath(string(name)); err != nil {
		return secret.Change{}, fmt.Errorf("%w: a change has no valid name", ErrCorrupt)
	}
	return secret.Change{ID: binary.BigEndian.Uint64(key), Name: string(name)}, nil
}

// Settle forgets changes, durably before it returns.
func (v *Vault) Settle(ctx context.Context, ids ...uint64) error {
	if len(ids) == 0 {
		return nil
	}
	err := v.update(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketOutbox)
		for _, id := range ids {
			if err := b.Delete(binary.BigEndian.AppendUint64(nil, id)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("settling vault outbox: %w", err)
	}
	return nil
}
