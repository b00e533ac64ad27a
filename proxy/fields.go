package proxy

import (
	"fmt"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/jsonfields"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

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
