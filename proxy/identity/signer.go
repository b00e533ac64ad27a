package identity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// ErrClaims is wrapped where Sign is asked for a token that no verifier would take: the claims must change.
var ErrClaims = errors.New("claims cannot be signed")

// Signer makes access tokens (RFC 9068). It is safe for concurrent use.
type Signer struct {
	half             func() half
	issuer, audience string
}

// half is what needs the public half of a key.
type half struct {
	key           ed25519.PrivateKey
	keyID, header string
}

// NewSigner makes a signer whose tokens carry this iss and this one aud. kid is the key's thumbprint.
func NewSigner(key ed25519.PrivateKey, issuer, audience string) (*Signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: an Ed25519 key has 64 bytes", ErrInvalidSigningKey)
	}
	return SignerOf(key.Seed(), issuer, audience)
}

// SignerOf is NewSigner for the seed of a key, which the caller may wipe afterwards. The public half is computed when it is
// first needed.
func SignerOf(seed []byte, issuer, audience string) (*Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: the seed of an Ed25519 key has 32 bytes", ErrInvalidSigningKey)
	}
	if !goodText(issuer, maxNameBytes) || !goodText(audience, maxNameBytes) {
		return nil, errors.New("issuer and audience are required, of at most 512 bytes")
	}
	seed = bytes.Clone(seed)
	return &Signer{sync.OnceValue(func() half { return halfOf(seed) }), issuer, audience}, nil
}

func halfOf(seed []byte) half {
	key := ed25519.NewKeyFromSeed(seed)
	id, _ := Thumbprint(key.Public()) // an Ed25519 key has one
	return half{key, id, encodeSegment([]byte(`{"alg":"EdDSA","typ":"` + accessTokenType + `","kid":"` + id + `"}`))}
}

// KeyID is the kid of the signer's tokens.
func (s *Signer) KeyID() string { return s.half().keyID }

// PublicKey is what verifies the signer's tokens.
func (s *Signer) PublicKey() ed25519.PublicKey { return s.half().key.Public().(ed25519.PublicKey) }

// Sign makes a token that Verify takes within the times of c. It refuses what Verify would refuse, and lives
// longer than MaxTTL; a shorter limit of the verifier is for the caller to keep.
func (s *Signer) Sign(c Claims) (string, error) {
	payload, err := s.payload(&c)
	if err != nil {
		return "", err
	}
	h := s.half()
	input := h.header + "." + encodeSegment(payload)
	token := input + "." + encodeSegment(ed25519.Sign(h.key, []byte(input)))
	if len(token) > MaxTokenBytes {
		return "", fmt.Errorf("%w: the token would be larger than 8 KiB", ErrClaims)
	}
	return token, nil
}

// wireClaims is the JSON form of the claims.
type wireClaims struct {
	Issuer    string     `json:"iss"`
	Subject   string     `json:"sub"`
	Audience  string     `json:"aud"`
	Expires   int64      `json:"exp"`
	IssuedAt  int64      `json:"iat"`
	NotBefore int64      `json:"nbf"`
	TokenID   string     `json:"jti"`
	ClientID  string     `json:"client_id"`
	Scope     string     `json:"scope"`
	Base      string     `json:"base,omitempty"`
	Keyhole   wireOrigin `json:"kh"`
	Cnf       *wireCnf   `json:"cnf,omitempty"`
}

type wireOrigin struct {
	Trust         string   `json:"trust"`
	OriginIssuer  string   `json:"origin_iss"`
	OriginTokenID string   `json:"origin_jti,omitempty"`
	Parents       []string `json:"parents,omitempty"`

	Claims map[string]string `json:"claims,omitempty"`
}

type wireCnf struct {
	Thumbprint string `json:"jkt"`
}

func (s *Signer) payload(c *Claims) ([]byte, error) {
	if c.NotBefore.IsZero() {
		c.NotBefore = c.IssuedAt
	}
	// encoding/json would replace what is not UTF-8, and sign something else than was asked for.
	for _, t := range append([]string{c.Subject, c.ClientID, c.TokenID, c.Trust, c.OriginIssuer}, c.Parents...) {
		if !goodText(t, maxNameBytes) {
			return nil, fmt.Errorf("%w: a required string is empty, longer than 512 bytes or not plain text", ErrClaims)
		}
	}
	if c.OriginTokenID != "" && !goodText(c.OriginTokenID, maxNameBytes) {
		return nil, fmt.Errorf("%w: the origin's token id is longer than 512 bytes or not plain text", ErrClaims)
	}
	if len(c.Scopes) > policy.MaxScopes {
		return nil, fmt.Errorf("%w: %d scopes, at most %d are allowed", ErrClaims, len(c.Scopes), policy.MaxScopes)
	}
	w := wireClaims{
		Issuer: s.issuer, Subject: c.Subject, Audience: s.audience,
		Expires: c.Expires.Unix(), IssuedAt: c.IssuedAt.Unix(), NotBefore: c.NotBefore.Unix(),
		TokenID: c.TokenID, ClientID: c.ClientID, Scope: c.Scopes.String(), Base: c.Base.String(),
		Keyhole: wireOrigin{Trust: c.Trust, OriginIssuer: c.OriginIssuer, OriginTokenID: c.OriginTokenID, Parents: c.Parents},
	}
	for _, p := range c.Claims {
		if !utf8.ValidString(p.Name) || !utf8.ValidString(p.Value) {
			return nil, fmt.Errorf("%w: a claim is not plain text", ErrClaims)
		}
		if w.Keyhole.Claims == nil {
			w.Keyhole.Claims = make(map[string]string, len(c.Claims))
		}
		w.Keyhole.Claims[p.Name] = p.Value
	}
	if c.Cnf != "" {
		w.Cnf = &wireCnf{c.Cnf}
	}
	payload, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClaims, err)
	}
	return payload, checkPayload(payload)
}

// checkPayload reads a payload as Verify would.
func checkPayload(payload []byte) error {
	n, err := strictjson.Parse(payload, claimsLimits)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClaims, err)
	}
	read, err := readClaims(n)
	if err == nil {
		err = read.window().checkLife(MaxTTL)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClaims, err)
	}
	return nil
}

func encodeSegment(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
