package proxy

import (
	"fmt"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/internal/jsonfields"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// pick leaves in a the one field of its secret that is asked for: by the path in the layout Fields, by the request in the
// other. Without such a field it fails with secret.ErrNotFound, or where the object itself is not known to be good any more,
// as the upstream did: that is no time to say what there is not.
func (m *mount) pick(a *Answer, r ReadRequest) error {
	name := r.Field
	if m.Layout == Fields {
		if name != "" {
			return secret.ErrNotFound // a field has none
		}
		name = r.Path.Name()
	}
	if name == "" {
		return nil
	}
	s := a.entry.Secret()
	v, ok := s.Field(name)
	switch state := cache.State(a.State); {
	case ok:
	case state == cache.Stale:
		return fmt.Errorf("%w: what is held of the object is old and lacks the field", secret.ErrUnavailable)
	case state == cache.Hit:
		return &cache.NegativeError{Age: a.Age}
	default:
		return secret.ErrNotFound
	}
	a.Value, a.Fields, a.picked = v, nil, true
	if s.Size() > smallAnswer {
		// Who reads slowly must not keep a large object in memory for one field of it.
		a.copied = v.Clone()
		a.Value = a.copied
		a.entry.Release()
	}
	return nil
}

// spread makes fields of an object of the layout Fields that is one value: vaults without fields keep an environment as
// the text of a JSON object. Any other value is no environment. That is a failure of the upstream and not a missing
// secret: who breaks the text by hand must not purge the good values of all its fields.
func spread(s *secret.Secret) error {
	if s.Fields != nil {
		return nil
	}
	root, err := strictjson.Parse(s.Value.Reveal(), strictjson.Limits{Bytes: secret.MaxValueBytes, ExactNames: true})
	if err != nil {
		return fmt.Errorf("%w: an object of fields is no JSON", secret.ErrUnavailable) // err tells of the text's structure
	}
	defer root.Wipe()
	if root.Kind != strictjson.Object {
		return fmt.Errorf("%w: an object of fields is no JSON object", secret.ErrUnavailable)
	}
	s.Value.Wipe()
	s.Value, s.Fields = secret.Value{}, jsonfields.Of(root)
	if err := s.Check(); err != nil {
		return fmt.Errorf("%w: an object of fields: %w", secret.ErrUnavailable, err)
	}
	return nil
}
