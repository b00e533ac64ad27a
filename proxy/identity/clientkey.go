package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// ErrInvalidClientKey is wrapped by the errors of ParseClientKey: what was given is not the key of a client.
var ErrInvalidClientKey = errors.New("invalid client key")

const maxClientKeyBytes = 4 << 10

// ClientKey is what a client proves with who it is (private_key_jwt, RFC 7523) where its platform gives it no identity.
type ClientKey struct {
	clientID, keyID string
	key             ed25519.PrivateKey
}

// clientJWK is the JSON form of a client's key: a private JWK (RFC 8037 section 2), which any JOSE library reads, and the
// client whose key it is.
type clientJWK struct {
	jwk
	D        string `json:"d"`
	ClientID string `json:"client_id"`
}

// NewClientKey makes an Ed25519 key for a client. kid is its thumbprint.
func NewClientKey(clientID string) (*ClientKey, error) {
	if !trust.IsClientID(clientID) {
		return nil, badClientKey(`want a client_id without ":", "/" and spaces`)
	}
	key, err := GenerateSigningKey()
	if err != nil {
		return nil, err
	}
	id, err := Thumbprint(key.Public())
	if err != nil {
		return nil, err
	}
	return &ClientKey{clientID, id, key}, nil
}

// ParseClientKey reads the JSON form of a client's key: an Ed25519 JWK with d, and client_id. Without kid it is the
// thumbprint; members that are not known are ignored (RFC 7517 section 4). Errors quote nothing.
func ParseClientKey(text []byte) (*ClientKey, error) {
	n, err := strictjson.Parse(text, strictjson.Limits{Bytes: maxClientKeyBytes, Depth: 4, Nodes: 64})
	if err != nil || n.Kind != strictjson.Object {
		return nil, badClientKey("want one JSON object, as keyhole key new prints it")
	}
	kty, _ := n.Get("kty").Str()
	crv, _ := n.Get("crv").Str()
	if kty != "OKP" || crv != "Ed25519" {
		return nil, badClientKey("want an Ed25519 key: kty OKP, crv Ed25519")
	}
	client, _ := n.Get("client_id").Str()
	if !trust.IsClientID(client) {
		return nil, badClientKey(`client_id is absent, or holds ":", "/" or spaces`)
	}
	seed, err := octets(n, "d")
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, badClientKey("d is not 32 bytes of base64url: it is the private half that is needed")
	}
	defer clear(seed)
	key := ed25519.NewKeyFromSeed(seed)
	if x, err := octets(n, "x"); err != nil || !key.Public().(ed25519.PublicKey).Equal(ed25519.PublicKey(x)) {
		return nil, badClientKey("x is not the public half of d")
	}
	kid, err := Thumbprint(key.Public())
	if err != nil {
		return nil, err
	}
	if own := n.Get("kid"); own != nil {
		var ok bool
		if kid, ok = own.Str(); !ok || !goodText(kid, maxNameBytes) {
			return nil, badClientKey("kid is not a string of 1-512 bytes")
		}
	}
	return &ClientKey{client, kid, key}, nil
}

// ClientID is the client whose key it is.
func (k *ClientKey) ClientID() string { return k.clientID }

// KeyID is the kid of its assertions.
func (k *ClientKey) KeyID() string { return k.keyID }

// Private is the JSON form that ParseClientKey reads, in one line. Whoever has it is the client.
func (k *ClientKey) Private() ([]byte, error) {
	j, err := k.public()
	if err != nil {
		return nil, err
	}
	return json.Marshal(clientJWK{j, encodeSegment(k.key.Seed()), k.clientID})
}

// Public is the public half, a JWK in one line.
func (k *ClientKey) Public() ([]byte, error) {
	j, err := k.public()
	if err != nil {
		return nil, err
	}
	return json.Marshal(j)
}

func (k *ClientKey) public() (jwk, error) {
	j, err := publicJWK(k.key.Public())
	j.Kid, j.Alg, j.Use = k.keyID, EdDSA, "sig"
	return j, err
}

// Assertion says for 60 s from now on who the client is, to the authorisation server of this name (RFC 7523 section 3). It
// is good once.
func (k *ClientKey) Assertion(audience string, now time.Time) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": EdDSA, "typ": "JWT", "kid": k.keyID})
	if err != nil {
		return "", err
	}
	issued := now.Unix()
	claims, err := json.Marshal(map[string]any{
		"iss": k.clientID, "sub": k.clientID, "aud": audience, "jti": rand.Text(),
		"iat": issued, "exp": issued + int64(trust.MaxAssertionTTL/time.Second),
	})
	if err != nil {
		return "", err
	}
	input := encodeSegment(header) + "." + encodeSegment(claims)
	return input + "." + encodeSegment(ed25519.Sign(k.key, []byte(input))), nil
}

// Format keeps the private half out of logs and errors, whatever the verb.
func (k *ClientKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "client key "+k.keyID) }

func badClientKey(reason string) error { return fmt.Errorf("%w: %s", ErrInvalidClientKey, reason) }
