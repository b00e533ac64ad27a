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
	v, err := field(&a.entry, name)
	if err == nil {
		a.Value, a.Fields, a.Binary, a.picked = v, nil, false, true
	}
	return err
}

// field is the one field of an object, which lives as long as the hold on it.
func field(object *cache.Handle, name string) (secret.Value, error) {
	v, ok := object.Secret().Field(name)
	switch state := object.State(); {
	case ok:
		return v, nil
	case state == cache.Stale:
		return secret.Value{}, fmt.Errorf("%w: what is held of the object is old and lacks the field", secret.ErrUnavailable)
	case state == cache.Hit:
		return secret.Value{}, &cache.NegativeError{Age: object.Age()}
	}
	return secret.Value{}, secret.ErrNotFound
}

// own makes a copy of the one field that a is, where the object is large: who reads slowly must not keep that in
// memory. It comes after lend: before, nothing bounds how many copies there are.
func (a *Answer) own() {
	if !a.picked || a.Unchanged || a.entry.Secret().Size() <= smallAnswer {
		return
	}
	a.copied = a.Value.Clone()
	a.Value = a.copied
	a.entry.Release()
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
