package identity

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
)

// tokenDigest is the digest that stands for a token without jti. ECDSA has two signatures for each that is made, (r, s)
// and (r, n-s), and whoever holds a token can write the other: both are the same token, so the one with the smaller s
// counts. Otherwise who was revoked would come back under another token_id. RSA and EdDSA signatures have one form.
func (a *authentic) tokenDigest() [sha256.Size]byte {
	signature := a.signature
	if pub, ok := a.key.public.(*ecdsa.PublicKey); ok {
		signature = withSmallS(signature, pub.Params().N)
	}
	return digestOf(a.signingInput + "." + base64.RawURLEncoding.EncodeToString(signature))
}

// withSmallS is r and the smaller of s and n-s, each in half of the bytes (RFC 7518 section 3.4).
func withSmallS(signature []byte, n *big.Int) []byte {
	half := len(signature) / 2
	s := new(big.Int).SetBytes(signature[half:])
	other := new(big.Int).Sub(n, s)
	if s.Cmp(other) <= 0 {
		return signature
	}
	return append(signature[:half:half], other.FillBytes(make([]byte, half))...)
}
