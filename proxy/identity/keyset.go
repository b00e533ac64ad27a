package identity

import (
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// Limits of a key set.
const (
	MaxKeys        = 64
	MaxKeySetBytes = 256 << 10
	maxKeyBytes    = 16 << 10
)

var (
	// ErrInvalidKeySet is wrapped by every error about keys and key sets: whoever publishes the set must fix it. A set
	// that was in use before stays in use.
	ErrInvalidKeySet = errors.New("invalid key set")
	// ErrPrivateKey is wrapped as well where a key is private or symmetric: it must be replaced.
	ErrPrivateKey = errors.New("it is private or symmetric: replace it, for it has been published")
)

// KeySet is a set of public keys, each with a kid of its own. It never changes.
type KeySet struct {
	keys []key
	byID map[string]*key
}

// key is one public key and the one algorithm it may be used with.
type key struct {
	id        string
	algorithm string
	public    crypto.PublicKey // ed25519.PublicKey, *ecdsa.PublicKey or *rsa.PublicKey
	until     int64            // seconds since 1970 from which on it verifies nothing; 0 for ever
}

// stands reports whether the key may be used at this time, in seconds since 1970.
func (k *key) stands(now int64) bool { return k.until == 0 || now < k.until }

func (k *key) equal(o *key) bool {
	pub, ok := k.public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.algorithm == o.algorithm && pub.Equal(o.public)
}

// NewKeySet returns the set of these keys, each under its thumbprint, as access tokens name them.
func NewKeySet(keys ...ed25519.PublicKey) (*KeySet, error) {
	list := make([]key, 0, len(keys))
	for _, pub := range keys {
		if err := checkEd25519(pub); err != nil {
			return nil, err
		}
		id, err := Thumbprint(pub)
		if err != nil {
			return nil, err
		}
		list = append(list, key{id: id, algorithm: EdDSA, public: pub})
	}
	return newKeySet(list)
}

// ParseKeySet reads a JWK Set (RFC 7517, RFC 8037) of at most 256 KiB and 64 keys. The whole set is refused where it
// holds a symmetric or private key, two keys of one kid, or a key that is weak, malformed or at odds with itself. Keys
// for other purposes than verifying EdDSA, ES256, ES384 or RS256, and keys without kid, are left out. A key with exp
// (seconds since 1970; of the JSON Web Key Parameters that OpenID Federation 1.0 registered) is used before that time only.
func ParseKeySet(data []byte) (*KeySet, error) {
	root, err := strictjson.Parse(data, strictjson.Limits{Bytes: MaxKeySetBytes, Depth: 8, Nodes: 16 << 10})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidKeySet, err)
	}
	list := root.Get("keys")
	if root.Kind != strictjson.Object || list == nil || list.Kind != strictjson.Array {
		return nil, badKeys("want an object with an array named keys")
	}
	if len(list.Elems) > MaxKeys {
		return nil, badKeys("more than 64 keys")
	}
	var keys []key
	ids := make(map[string]bool)
	for i := range list.Elems {
		k, usable, err := parseJWK(&list.Elems[i])
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if k.id != "" && ids[k.id] {
			return nil, fmt.Errorf("key %d: %w", i+1, badKeys("its kid is that of an earlier key"))
		}
		ids[k.id] = true
		if usable && k.id != "" {
			keys = append(keys, k)
		}
	}
	return newKeySet(keys)
}

// ParsePublicKey reads one JWK as a set of its own. Without kid it gets its thumbprint. Errors are those of ParseKeySet, and
// a key that cannot verify anything is one.
func ParsePublicKey(data []byte) (*KeySet, error) {
	n, err := strictjson.Parse(data, strictjson.Limits{Bytes: maxKeyBytes, Depth: 8, Nodes: 256})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidKeySet, err)
	}
	k, usable, err := parseJWK(n)
	if err != nil {
		return nil, err
	}
	if !usable {
		return nil, badKeys("it is not meant for verifying EdDSA, ES256, ES384 or RS256")
	}
	if k.id == "" {
		if k.id, err = Thumbprint(k.public); err != nil {
			return nil, err
		}
	}
	return newKeySet([]key{k})
}

func newKeySet(keys []key) (*KeySet, error) {
	if len(keys) > MaxKeys {
		return nil, badKeys("more than 64 keys")
	}
	s := &KeySet{keys, make(map[string]*key, len(keys))}
	for i := range keys {
		if s.byID[keys[i].id] != nil {
			return nil, badKeys("two keys have one kid")
		}
		s.byID[keys[i].id] = &keys[i]
	}
	return s, nil
}

// With returns the set with one key more, under its thumbprint and without an end.
func (s *KeySet) With(pub ed25519.PublicKey) (*KeySet, error) {
	one, err := NewKeySet(pub)
	if err != nil {
		return nil, err
	}
	return newKeySet(append(slices.Clone(s.keys), one.keys...))
}

// Until returns the set in which the key of this kid verifies nothing from the given time on, unless it ends before
// that already. Without such a key it is the same set.
func (s *KeySet) Until(kid string, end time.Time) *KeySet {
	keys := slices.Clone(s.keys)
	for i := range keys {
		if k := &keys[i]; k.id == kid && k.stands(end.Unix()) {
			k.until = end.Unix()
		}
	}
	out, _ := newKeySet(keys) // the kids are the same
	return out
}

// At returns the set of the keys that verify at this time.
func (s *KeySet) At(now time.Time) *KeySet {
	out, _ := newKeySet(slices.DeleteFunc(slices.Clone(s.keys), func(k key) bool { return !k.stands(now.Unix()) }))
	return out
}

// Len is the number of keys that can verify something.
func (s *KeySet) Len() int { return len(s.keys) }

// Has reports whether the set has a key of this kid, whether or not its time is over.
func (s *KeySet) Has(kid string) bool { return s.byID[kid] != nil }

// Meets reports whether the sets share a kid, or a key under whatever kid.
func (s *KeySet) Meets(o *KeySet) bool {
	return slices.ContainsFunc(o.keys, func(k key) bool {
		return s.Has(k.id) || slices.ContainsFunc(s.keys, func(mine key) bool { return mine.equal(&k) })
	})
}

// Algorithms are those that some key of the set may be used with, sorted.
func (s *KeySet) Algorithms() []string {
	var out []string
	for i := range s.keys {
		out = append(out, s.keys[i].algorithm)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// KeyIDs returns the kid of every key, in the order of the set.
func (s *KeySet) KeyIDs() []string {
	ids := make([]string, len(s.keys))
	for i := range s.keys {
		ids[i] = s.keys[i].id
	}
	return ids
}

// MarshalJSON gives the JWK Set that ParseKeySet reads as s: public members only.
func (s *KeySet) MarshalJSON() ([]byte, error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for i := range s.keys {
		k := &s.keys[i]
		j, err := publicJWK(k.public)
		if err != nil {
			return nil, err
		}
		j.Kid, j.Alg, j.Use, j.Exp = k.id, k.algorithm, "sig", k.until
		set.Keys = append(set.Keys, j)
	}
	return json.Marshal(set)
}

// checkOwn holds a set against what access tokens need: Ed25519 keys under their thumbprints.
func (s *KeySet) checkOwn() error {
	if s == nil {
		return badKeys("there is none")
	}
	for i := range s.keys {
		k := &s.keys[i]
		id, err := Thumbprint(k.public)
		if err != nil {
			return err
		}
		if k.algorithm != EdDSA || k.id != id {
			return fmt.Errorf("key %d: %w", i+1, badKeys("keys of access tokens are Ed25519 keys, and their kid is their RFC 7638 thumbprint"))
		}
	}
	return nil
}

func badKeys(reason string) error { return fmt.Errorf("%w: %s", ErrInvalidKeySet, reason) }
