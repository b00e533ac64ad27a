package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// kv1 is version 1 of the engine.
type kv1 struct {
	*engine
	key [32]byte // of the fingerprints
}

// Read returns the one value there is, as Current or under its fingerprint. There is no Previous.
func (v *kv1) Read(ctx context.Context, name string, version secret.Version) (*secret.Secret, error) {
	s, err := v.read(ctx, name, version)
	if err != nil {
		return nil, fmt.Errorf("reading from vault: %w", err)
	}
	return s, nil
}

func (v *kv1) read(ctx context.Context, name string, version secret.Version) (*secret.Secret, error) {
	path, err := v.path("", name)
	if err != nil {
		return nil, err
	}
	if version == secret.Previous {
		return nil, fmt.Errorf("%w: version 1 of the engine keeps no versions", secret.ErrNotFound)
	}
	a, err := v.get(ctx, path, "")
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	data, err := a.data()
	if err != nil {
		return nil, err
	}
	s, err := checked(fields(data))
	if err != nil {
		return nil, err
	}
	if s.Version = v.fingerprint(s); version != secret.Current && version != s.Version {
		s.Wipe()
		return nil, secret.ErrNotFound
	}
	return s, nil
}

// fingerprint stands for the version. Without a key it would let whoever sees it try out short secrets.
func (v *kv1) fingerprint(s *secret.Secret) secret.Version {
	h := hmac.New(sha256.New, v.key[:])
	var size [8]byte
	for _, f := range s.Fields {
		for _, part := range [][]byte{[]byte(f.Name), f.Value.Reveal()} {
			binary.BigEndian.PutUint64(size[:], uint64(len(part)))
			h.Write(size[:])
			h.Write(part)
		}
	}
	return secret.Version(hex.EncodeToString(h.Sum(nil)[:16]))
}

// List returns names only. See walk for what it costs.
func (v *kv1) List(ctx context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	items, err := v.walk(ctx, "", prefix, after, limit, func(ctx context.Context, name string) error {
		s, err := (&kv1{engine: v.believing(), key: v.key}).read(ctx, name, secret.Current)
		if err == nil {
			s.Wipe()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing vault: %w", err)
	}
	return items, nil
}
