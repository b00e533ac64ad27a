package embedded

import (
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Versions tells the versions that are kept, at most KeepVersions, the newest first. Each is opened as far as its time is
// proven, never its value. Pruned versions, and those from before a deletion, have left no trace but their numbers.
func (v *Vault) Versions(ctx context.Context, name string) ([]secret.VersionInfo, error) {
	if _, err := secret.ParsePath(name); err != nil {
		return nil, fmt.Errorf("reading versions: %w: %w", secret.ErrNotFound, err)
	}
	var all []secret.VersionInfo
	err := v.view(ctx, func(tx *bolt.Tx) (err error) {
		all, err = v.versions(tx, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading versions: %w", err)
	}
	return all, nil
}

func (v *Vault) versions(tx *bolt.Tx, name string) ([]secret.VersionInfo, error) {
	e, err := v.entry(tx, name)
	if err != nil {
		return nil, err
	}
	h, err := e.head()
	if err != nil {
		return nil, err
	}
	if !h.exists() {
		return nil, secret.ErrNotFound
	}
	all := make([]secret.VersionInfo, 0, h.last-h.oldest+1)
	for n := h.last; n >= h.oldest; n-- {
		r, err := e.version(n)
		if err != nil {
			return nil, err
		}
		state := secret.StateOld
		switch n {
		case h.last:
			state = secret.StateCurrent
		case h.last - 1:
			state = secret.StatePrevious
		}
		all = append(all, secret.VersionInfo{Version: formatNumber(n), CreatedAt: timeOf(r.binding.created), State: state})
	}
	return all, nil
}
