package identity_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

// otherSignature is the token with the second of the two ECDSA signatures that its first one gives.
func otherSignature(tb testing.TB, key *oidcemu.Key, token string) string {
	tb.Helper()
	at := strings.LastIndexByte(token, '.') + 1
	sig, err := base64.RawURLEncoding.DecodeString(token[at:])
	if err != nil {
		tb.Fatal(err)
	}
	half := len(sig) / 2
	n := key.Private.Public().(*ecdsa.PublicKey).Params().N
	new(big.Int).Sub(n, new(big.Int).SetBytes(sig[half:])).FillBytes(sig[half:])
	return token[:at] + base64.RawURLEncoding.EncodeToString(sig)
}

// Who holds a token without jti, and was revoked by its token_id, has no other token_id by writing the signature in the
// other way.
func TestTokenIDIsThatOfBothSignatures(t *testing.T) {
	v := platformVerifier(t, newClock(), map[string]identity.KeySource{platform: newSource(t, allKeys()...)}, rule())
	for _, alg := range []string{"ES256", "ES384"} {
		for range 8 { // about half of the signatures have the smaller s at once
			key := platformKeys()[alg]
			token := key.Sign(with(platformClaims(), "jti", nil))
			other := otherSignature(t, key, token)
			first, second := verify(t, v, token).Principal.TokenID, verify(t, v, other).Principal.TokenID
			if first != second {
				t.Errorf("%s: got %s and %s", alg, first, second)
			}
			if first != idOf(token) && first != idOf(other) {
				t.Errorf("%s: %s is the digest of neither form", alg, first)
			}
		}
	}
}

// idOf is the token_id by the digest of a token as it is written.
func idOf(token string) string {
	digest := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(digest[:])[:32]
}
