package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
)

// ClientKey is what a client proves with who it is (private_key_jwt, RFC 7523).
type ClientKey = identity.ClientKey

// NewClientKey makes a key for a client.
func NewClientKey(clientID string) (*ClientKey, error) { return identity.NewClientKey(clientID) }

// ParseClientKey reads what WriteClientKey writes. Errors quote nothing.
func ParseClientKey(text []byte) (*ClientKey, error) { return identity.ParseClientKey(text) }

// ErrClientKey is wrapped by the errors of AddClientKey that another rule or another key would not have: nothing changed.
var ErrClientKey = errors.New("the key is not added")

// ClientKeyAdded is what came of AddClientKey.
type ClientKeyAdded struct {
	KeyID string
	File  string // that has the client's keys, absolute
	New   bool   // the file was made
	Keys  int    // in it now
}

// AddClientKey adds a public key, a JWK, to the file of the named trust rule, which is of template key. The file is made
// where there is none; what else stands in it stays. A running server sees it change.
func AddClientKey(c *config.Config, rule string, jwk []byte) (ClientKeyAdded, error) {
	of, err := clientRule(c, rule)
	if err != nil {
		return ClientKeyAdded{}, err
	}
	key, err := identity.ParsePublicKey(jwk)
	switch {
	case errors.Is(err, identity.ErrPrivateKey):
		return ClientKeyAdded{}, fmt.Errorf("%w: it is the private half. The server needs the public one alone, and whoever has seen this one is the client: make a new pair", ErrClientKey)
	case err != nil:
		return ClientKeyAdded{}, fmt.Errorf("%w: %w", ErrClientKey, err)
	case !slices.Contains(of.Algorithms, key.Algorithms()[0]):
		return ClientKeyAdded{}, fmt.Errorf("%w: it is for %s, and the rule takes %s", ErrClientKey, key.Algorithms()[0], strings.Join(of.Algorithms, ", "))
	}
	ref, err := config.ParseRef(of.JWKS, "file")
	if err != nil {
		return ClientKeyAdded{}, fmt.Errorf("trust rule %s: jwks: %w", rule, err)
	}
	added := ClientKeyAdded{KeyID: key.KeyIDs()[0], File: c.Abs(ref.Name)}
	if real, err := filepath.EvalSymlinks(added.File); err == nil {
		added.File = real
	}
	text, err := os.ReadFile(added.File)
	if added.New = errors.Is(err, fs.ErrNotExist); added.New {
		text, err = []byte(`{"keys":[]}`), nil
	}
	if err == nil {
		text, added.Keys, err = withKey(text, key)
	}
	if err != nil {
		return ClientKeyAdded{}, fmt.Errorf("%w to %s: %w", ErrClientKey, added.File, err)
	}
	return added, durable.Replace(added.File, text)
}

// WriteClientKey writes the private half of a key into a new file that its owner alone may read.
func WriteClientKey(key *ClientKey, file string) error {
	text, err := key.Private()
	if err != nil {
		return err
	}
	text = append(text, '\n')
	defer clear(text)
	err = durable.Create(file, text)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and keys are not overwritten", file)
	}
	return err
}

// clientRule is the issuer of a rule of template key.
func clientRule(c *config.Config, rule string) (trust.Issuer, error) {
	i := slices.IndexFunc(c.Identity.Trust, func(r config.TrustRule) bool { return r.Name == rule })
	if i < 0 {
		return trust.Issuer{}, fmt.Errorf("%w: identity.trust has no rule %q", ErrClientKey, rule)
	}
	r := &c.Identity.Trust[i]
	if r.Template != "key" {
		return trust.Issuer{}, fmt.Errorf("%w: rule %s is not of template key: its tokens are signed by its issuer", ErrClientKey, rule)
	}
	set, err := c.Identity.TrustSet()
	if err != nil {
		return trust.Issuer{}, err
	}
	all := set.Issuers()
	return all[slices.IndexFunc(all, func(i trust.Issuer) bool { return i.Issuer == r.With["client_id"][0] })], nil
}

// withKey is a JWK set with one key more. What people wrote into the set besides keys stays.
func withKey(text []byte, key *identity.KeySet) ([]byte, int, error) {
	there, err := identity.ParseKeySet(text)
	if err != nil {
		return nil, 0, err
	}
	if there.Meets(key) {
		return nil, 0, errors.New("it is there already, or a key of the same kid is")
	}
	var set map[string]json.RawMessage
	var keys []json.RawMessage
	var one struct{ Keys []json.RawMessage }
	public, err := key.MarshalJSON()
	if err := errors.Join(err, json.Unmarshal(text, &set), json.Unmarshal(set["keys"], &keys), json.Unmarshal(public, &one)); err != nil {
		return nil, 0, err
	}
	if set["keys"], err = json.Marshal(append(keys, one.Keys...)); err != nil {
		return nil, 0, err
	}
	compact, err := json.Marshal(set)
	if err != nil {
		return nil, 0, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, compact, "", "  "); err != nil {
		return nil, 0, err
	}
	out.WriteByte('\n')
	// More keys than a server takes, say: it must not find out first.
	if there, err = identity.ParseKeySet(out.Bytes()); err != nil {
		return nil, 0, err
	}
	return out.Bytes(), there.Len(), nil
}
