package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"math/big"
	"slices"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// The signature algorithms that an issuer's rule can name (RFC 7518, RFC 8037). There is no "none", no HMAC, since
// whoever verifies could then sign, and no PSS, whose salt length the library does not check.
const (
	EdDSA = "EdDSA"
	ES256 = "ES256"
	ES384 = "ES384"
	RS256 = "RS256"
)

func algorithms() []string { return []string{EdDSA, ES256, ES384, RS256} }

// parseJWK reads one key. Of a key that is meant for something else only the kid is returned, and usable is false.
func parseJWK(n *strictjson.Node) (k key, usable bool, err error) {
	if n.Kind != strictjson.Object {
		return key{}, false, badKeys("not an object")
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if n.Get(private) != nil {
			return key{}, false, fmt.Errorf("%w: %w", ErrInvalidKeySet, ErrPrivateKey)
		}
	}
	var kty, alg string
	for _, m := range []struct {
		into *string
		name string
	}{{&kty, "kty"}, {&alg, "alg"}, {&k.id, "kid"}} {
		if v := n.Get(m.name); v != nil {
			s, ok := v.Str()
			if !ok || !goodText(s, maxNameBytes) {
				return key{}, false, badKeys(m.name + " is not a string of 1-512 bytes")
			}
			*m.into = s
		}
	}
	if kty == "oct" {
		return key{}, false, badKeys("it is symmetric: whoever verifies with it can sign")
	}
	if exp := n.Get("exp"); exp != nil {
		var ok bool
		if k.until, ok = exp.Int64(); !ok || k.until <= 0 {
			return key{}, false, badKeys("exp is not a number of seconds since 1970")
		}
	}
	verifies, err := meantToVerify(n)
	if err != nil {
		return key{}, false, err
	}
	if k.public, k.algorithm, err = keyMaterial(n, kty); err != nil {
		return key{}, false, err
	}
	if alg != "" && alg != k.algorithm {
		if slices.Contains(algorithms(), alg) {
			return key{}, false, badKeys("alg does not fit kty and crv")
		}
		return key{id: k.id}, false, nil
	}
	return k, verifies && k.public != nil, nil
}

// meantToVerify reads use and key_ops (RFC 7517 sections 4.2 and 4.3).
func meantToVerify(n *strictjson.Node) (bool, error) {
	use, ops := n.Get("use"), n.Get("key_ops")
	forUse, forOps := true, true
	if use != nil {
		s, ok := use.Str()
		if !ok {
			return false, badKeys("use is not a string")
		}
		forUse = s == "sig"
	}
	if ops != nil {
		if ops.Kind != strictjson.Array {
			return false, badKeys("key_ops is not an array")
		}
		forOps = false
		seen := make(map[string]bool)
		for i := range ops.Elems {
			s, ok := ops.Elems[i].Str()
			if !ok || seen[s] {
				return false, badKeys("key_ops holds something else than different strings")
			}
			seen[s] = true
			forOps = forOps || s == "verify"
		}
	}
	if use != nil && ops != nil && forUse != forOps {
		return false, badKeys("use and key_ops disagree")
	}
	return forUse && forOps, nil
}

// keyMaterial reads the key itself and says which algorithm it can be used with. A kty or crv that is not known here
// gives no key and no error (RFC 7517 section 5).
func keyMaterial(n *strictjson.Node, kty string) (crypto.PublicKey, string, error) {
	crv, _ := n.Get("crv").Str()
	switch {
	case kty == "":
		return nil, "", badKeys("kty is absent")
	case kty == "OKP" && crv == "Ed25519":
		x, err := octets(n, "x")
		if err != nil {
			return nil, "", err
		}
		return ed25519.PublicKey(x), EdDSA, checkEd25519(x)
	case kty == "EC" && crv == "P-256":
		pub, err := pointOn(elliptic.P256(), 32, n)
		return pub, ES256, err
	case kty == "EC" && crv == "P-384":
		pub, err := pointOn(elliptic.P384(), 48, n)
		return pub, ES384, err
	case kty == "RSA":
		pub, err := rsaKey(n)
		return pub, RS256, err
	}
	return nil, "", nil
}

func octets(n *strictjson.Node, name string) ([]byte, error) {
	s, ok := n.Get(name).Str()
	b, err := decodeBase64(s)
	if !ok || err != nil || len(b) == 0 {
		return nil, badKeys(name + " is absent or not canonical base64url")
	}
	return b, nil
}

// pointOn reads a point with coordinates of exactly size bytes (RFC 7518 section 6.2.1.2) that lies on the curve.
func pointOn(curve elliptic.Curve, size int, n *strictjson.Node) (*ecdsa.PublicKey, error) {
	x, err := octets(n, "x")
	if err != nil {
		return nil, err
	}
	y, err := octets(n, "y")
	if err != nil {
		return nil, err
	}
	if len(x) != size || len(y) != size {
		return nil, badKeys("x or y has the wrong length for crv")
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, bytes.Join([][]byte{{4}, x, y}, nil))
	if err != nil {
		return nil, badKeys("x and y are not a point on the curve")
	}
	return pub, nil
}

func rsaKey(n *strictjson.Node) (*rsa.PublicKey, error) {
	modulus, err := octets(n, "n")
	if err != nil {
		return nil, err
	}
	exponent, err := octets(n, "e")
	if err != nil {
		return nil, err
	}
	// RFC 7518 section 2: Base64urlUInt has no leading zero octet.
	if modulus[0] == 0 || exponent[0] == 0 {
		return nil, badKeys("n or e starts with a zero octet")
	}
	if len(exponent) > 4 {
		return nil, badKeys("e is larger than 31 bits")
	}
	pub := &rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: int(new(big.Int).SetBytes(exponent).Int64())}
	return pub, checkRSA(pub)
}
