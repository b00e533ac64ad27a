package vault

import (
	"fmt"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/jsonfields"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// fields makes a secret of the data of a key/value engine.
func fields(data *strictjson.Node) *secret.Secret { return &secret.Secret{Fields: jsonfields.Of(data)} }

// checked holds what the vault stores against the limits of a secret.
func checked(s *secret.Secret) (*secret.Secret, error) {
	if err := s.Check(); err != nil {
		s.Wipe()
		return nil, fmt.Errorf("the secret in the vault: %w", err)
	}
	return s, nil
}

// text is a member that must be a string.
func text(n *strictjson.Node, name string) (string, error) {
	if s, ok := n.Get(name).Str(); ok {
		return s, nil
	}
	return "", malformed(name)
}

func malformed(name string) error { return fmt.Errorf("%w: no good %s in it", ErrMalformed, name) }

// moment is a member that must be a time; "" is the zero time.
func moment(n *strictjson.Node, name string) (time.Time, error) {
	s, err := text(n, name)
	if err != nil || s == "" {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, malformed(name)
	}
	return at.UTC(), nil
}

// customMetadata is the metadata of a secret: nil where there is none.
func customMetadata(n *strictjson.Node) (map[string]string, error) {
	c := n.Get("custom_metadata")
	if c == nil || c.Kind == strictjson.Null || c.Kind == strictjson.Object && len(c.Members) == 0 {
		return nil, nil
	}
	if c.Kind != strictjson.Object {
		return nil, malformed("custom_metadata")
	}
	m := make(map[string]string, len(c.Members))
	for i := range c.Members {
		v, ok := c.Members[i].Value.Str()
		if !ok {
			return nil, malformed("custom_metadata")
		}
		m[c.Members[i].Name] = v
	}
	return m, nil
}
