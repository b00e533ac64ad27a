package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
)

// jwk is the JSON form of a public key.
type jwk struct {
	Crv string `json:"crv,omitempty"`
	E   string `json:"e,omitempty"`
	Kty string `json:"kty"`
	N   string `json:"n,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
	Kid string `json:"kid,omitempty"`
	Alg string `json:"alg,omitempty"`
	Use string `json:"use,omitempty"`
	Exp int64  `json:"exp,omitempty"`
}

// Thumbprint is the RFC 7638 SHA-256 thumbprint of a public key (ed25519.PublicKey, *ecdsa.PublicKey on P-256 or P-384,
// *rsa.PublicKey): base64url, 43 characters.
func Thumbprint(pub crypto.PublicKey) (string, error) {
	j, err := publicJWK(pub)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(j.required())
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// required is what RFC 7638 section 3.2 hashes: the required members alone, in the order of their names, without spaces.
func (j *jwk) required() []byte {
	text := []byte{'{'}
	for _, m := range [...]struct{ name, value string }{{"crv", j.Crv}, {"e", j.E}, {"kty", j.Kty}, {"n", j.N}, {"x", j.X}, {"y", j.Y}} {
		if m.value == "" {
			continue
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(jsontext.AppendString(text, m.name), ':')
		text = jsontext.AppendString(text, m.value)
	}
	return append(text, '}')
}

// publicJWK fills in the members that the key itself needs.
func publicJWK(pub crypto.PublicKey) (jwk, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := pub.(type) {
	case ed25519.PublicKey:
		return jwk{Kty: "OKP", Crv: "Ed25519", X: b64(k)}, nil
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4, x, y
		if err != nil {
			return jwk{}, badKeys("the key is not a point on its curve")
		}
		size := len(point) / 2
		return jwk{Kty: "EC", Crv: k.Params().Name, X: b64(point[1 : 1+size]), Y: b64(point[1+size:])}, nil
	case *rsa.PublicKey:
		return jwk{Kty: "RSA", N: b64(k.N.Bytes()), E: b64(big.NewInt(int64(k.E)).Bytes())}, nil
	}
	return jwk{}, badKeys("not an Ed25519, ECDSA or RSA public key")
}
