package embedded

import (
	"context"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Read returns one version in memory of its own: current, previous (the number before the current one) or a number. A
// name that is no valid path names nothing, and its error wraps secret.ErrInvalidPath besides secret.ErrNotFound.
func (v *Vault) Read(ctx context.Context, name string, version secret.Version) (*secret.Secret, error) {
	if _, err := secret.ParsePath(name); err != nil {
		return nil, fmt.Errorf("reading from vault: %w: %w", secret.ErrNotFound, err)
	}
	var s *secret.Secret
	err := v.view(ctx, func(tx *bolt.Tx) (err error) {
		s, err = v.read(tx, name, version)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading from vault: %w", err)
	}
	return s, nil
}

func (v *Vault) read(tx *bolt.Tx, name string, version secret.Version) (*secret.Secret, error) {
	e, err := v.entry(tx, name)
	if err != nil {
		return nil, err
	}
	h, err := e.head()
	if err != nil {
		return nil, err
	}
	n, ok := h.pick(version)
	if !ok {
		return nil, secret.ErrNotFound
	}
	r, err := e.version(n)
	if err != nil {
		return nil, err
	}
	s := &secret.Secret{Version: formatNumber(n), CreatedAt: timeOf(r.binding.created)}
	if s.Metadata, err = r.openMetadata(); err != nil {
		return nil, err
	}
	payload, err := r.openPayload()
	if err != nil {
		return nil, err
	}
	if err := decodePayload(payload, s); err != nil {
		clear(payload)
		return nil, err
	}
	return s, nil
}

func timeOf(ms uint64) time.Time { return time.UnixMilli(int64(ms)).UTC() }
