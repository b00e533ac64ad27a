package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Write stores a new version and the change to announce in one durable commit. It fails with secret.ErrInvalidPath,
// secret.ErrInvalidSecret (with secret.ErrTooLarge beyond secret.MaxValueBytes), secret.ErrConflict, or
// secret.ErrUnavailable when the commit failed; after the last, whether the version exists shows only in a Read.
func (v *Vault) Write(ctx context.Context, name string, w secret.Write) (secret.Version, bool, error) {
	if err := checkWrite(name, w.Secret); err != nil {
		return "", false, fmt.Errorf("writing to vault: %w", err)
	}
	var n uint64
	var created bool
	err := v.update(ctx, func(tx *bolt.Tx) (err error) {
		n, created, err = v.write(tx, name, w)
		return err
	})
	if err != nil {
		return "", false, fmt.Errorf("writing to vault: %w", err)
	}
	return formatNumber(n), created, nil
}

func checkWrite(name string, s *secret.Secret) error {
	if _, err := secret.ParsePath(name); err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("%w: there is none", secret.ErrInvalidSecret)
	}
	return s.Check()
}

func (v *Vault) write(tx *bolt.Tx, name string, w secret.Write) (n uint64, created bool, err error) {
	e, err := v.entry(tx, name)
	if err != nil {
		return 0, false, err
	}
	h, err := e.head()
	if err != nil {
		return 0, false, err
	}
	if err := checkVersion(h, w.IfVersion); err != nil {
		return 0, false, err
	}
	metadata, err := e.nextMetadata(h, w.Secret.Metadata)
	if err != nil {
		return 0, false, err
	}
	if h.last == 0 {
		// A head that was lost must not make its numbers free again.
		if e.hasVersions() {
			return 0, false, fmt.Errorf("%w: a secret has lost its head", ErrCorrupt)
		}
		h.oldest = 1
	}
	if h.last == math.MaxInt64 {
		return 0, false, errors.New("no version numbers are left")
	}
	created = !h.exists()
	h.last, h.updated = h.last+1, v.nextTime(h.updated)
	payload := encodePayload(w.Secret)
	defer clear(payload)
	if err := e.putVersion(h.last, h.updated, payload, metadata); err != nil {
		return 0, false, err
	}
	for ; h.last-h.oldest >= KeepVersions; h.oldest++ {
		if err := e.deleteVersion(h.oldest); err != nil {
			return 0, false, err
		}
	}
	if err := e.putHead(h); err != nil {
		return 0, false, err
	}
	return h.last, created, announce(tx, name)
}

func checkVersion(h head, want secret.Version) error {
	switch {
	case want == "":
	case want == "0" && h.exists():
		return fmt.Errorf("%w: the secret exists", secret.ErrConflict)
	case want == "0":
	case !h.exists():
		return fmt.Errorf("%w: the secret does not exist", secret.ErrConflict)
	case want != formatNumber(h.last):
		return fmt.Errorf("%w: the current version is %d", secret.ErrConflict, h.last)
	}
	return nil
}

// nextMetadata encodes the metadata of the next version: m, or what the current version has when m is nil.
func (e *entry) nextMetadata(h head, m map[string]string) ([]byte, error) {
	if m == nil && h.exists() {
		r, err := e.version(h.last)
		if err != nil {
			return nil, err
		}
		if m, err = r.openMetadata(); err != nil {
			return nil, err
		}
	}
	return encodeMetadata(m), nil
}

// nextTime is now in ms, but always later than before.
func (v *Vault) nextTime(before uint64) uint64 {
	now := uint64(max(v.wall().UnixMilli(), 0))
	return min(max(now, before+1), math.MaxInt64)
}

// Delete removes every version of a secret and announces the change, in one durable commit. Numbers go on where they
// stood if the name is written again. Deleting what does not exist changes nothing and is no error.
func (v *Vault) Delete(ctx context.Context, name string) error {
	if _, err := secret.ParsePath(name); err != nil {
		return fmt.Errorf("deleting from vault: %w", err)
	}
	err := v.update(ctx, func(tx *bolt.Tx) error { return v.delete(tx, name) })
	if err != nil {
		return fmt.Errorf("deleting from vault: %w", err)
	}
	return nil
}

func (v *Vault) delete(tx *bolt.Tx, name string) error {
	e, err := v.entry(tx, name)
	if err != nil {
		return err
	}
	h, err := e.head()
	if err != nil || !h.exists() {
		return err
	}
	for ; h.exists(); h.oldest++ {
		if err := e.deleteVersion(h.oldest); err != nil {
			return err
		}
	}
	h.updated = v.nextTime(h.updated)
	if err := e.putHead(h); err != nil {
		return err
	}
	return announce(tx, name)
}

// announce puts the change of name into the outbox.
func announce(tx *bolt.Tx, name string) error {
	b := tx.Bucket(bucketOutbox)
	id, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(binary.BigEndian.AppendUint64(nil, id), []byte(name))
}
