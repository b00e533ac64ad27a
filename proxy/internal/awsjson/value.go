package awsjson

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Malformed is the error of an answer whose member name is not what it must be.
func Malformed(name string) error { return fmt.Errorf("%w: no good %s in it", ErrMalformed, name) }

// Text is a member that must be a string.
func Text(n *strictjson.Node, name string) (string, error) {
	if s, ok := n.Get(name).Str(); ok {
		return s, nil
	}
	return "", Malformed(name)
}

// OptionalText is a member that is a string or not there.
func OptionalText(n *strictjson.Node, name string) (string, error) {
	if m := n.Get(name); m == nil || m.Kind == strictjson.Null {
		return "", nil
	}
	return Text(n, name)
}

// Moment is a member that is a time, in seconds since 1970 with a fraction; the zero time where it is not there. Services
// that speak AWS's protocol without being AWS write RFC 3339 as well.
func Moment(n *strictjson.Node, name string) (time.Time, error) {
	m := n.Get(name)
	if m == nil || m.Kind == strictjson.Null {
		return time.Time{}, nil
	}
	if m.Kind == strictjson.String {
		if t, err := time.Parse(time.RFC3339, string(m.Text)); err == nil && t.Unix() >= 0 {
			return t.UTC().Round(time.Millisecond), nil
		}
	}
	if m.Kind != strictjson.Number {
		return time.Time{}, Malformed(name)
	}
	seconds, err := strconv.ParseFloat(string(m.Text), 64)
	if err != nil || seconds < 0 || seconds > 253402300799 { // the end of year 9999
		return time.Time{}, Malformed(name)
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), nil
}

// Elements is a member that is a list of objects; none where it is not there.
func Elements(n *strictjson.Node, name string) ([]strictjson.Node, error) {
	m := n.Get(name)
	if m == nil || m.Kind == strictjson.Null {
		return nil, nil
	}
	if m.Kind != strictjson.Array {
		return nil, Malformed(name)
	}
	for i := range m.Elems {
		if m.Elems[i].Kind != strictjson.Object {
			return nil, Malformed(name)
		}
	}
	return m.Elems, nil
}

// Take moves the bytes of a string member out of the answer, without a copy.
func Take(n *strictjson.Node, name string) ([]byte, error) {
	m := n.Get(name)
	if m == nil || m.Kind != strictjson.String {
		return nil, Malformed(name)
	}
	b := m.Text
	m.Text = nil
	return b, nil
}

// Version is a member that must be the name of a version, and not that of a selector.
func Version(n *strictjson.Node, name string) (secret.Version, error) {
	s, err := Text(n, name)
	if err != nil {
		return "", err
	}
	v, err := secret.ParseVersion(s)
	if err != nil || s == "" || v == secret.Current || v == secret.Previous {
		return "", Malformed(name)
	}
	return v, nil
}

// Checked is s, if it keeps the rules of package secret; otherwise s is wiped.
func Checked(s *secret.Secret) (*secret.Secret, error) {
	if err := s.Check(); err != nil {
		s.Wipe()
		return nil, fmt.Errorf("the secret in AWS: %w", err)
	}
	return s, nil
}
