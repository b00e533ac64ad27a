// Package oidcemu is a platform that gives out identity tokens, for tests: keys of every algorithm, tokens that say
// whatever a test wants, and an issuer that publishes its keys over HTTPS on this machine.
package oidcemu

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// Key signs tokens.
type Key struct {
	ID        string // kid
	Algorithm string // EdDSA, RS256, ES256 or ES384
	Private   crypto.Signer
}

// NewKey makes a key.
func NewKey(algorithm, id string) *Key {
	k := &Key{ID: id, Algorithm: algorithm}
	var err error
	switch algorithm {
	case "EdDSA":
		_, k.Private, err = ed25519.GenerateKey(rand.Reader)
	case "RS256":
		k.Private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		k.Private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		k.Private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		err = fmt.Errorf("there is no algorithm %q", algorithm)
	}
	if err != nil {
		panic(err)
	}
	return k
}

// Header is what platforms put into the header of a token.
func (k *Key) Header() map[string]any {
	return map[string]any{"alg": k.Algorithm, "typ": "JWT", "kid": k.ID}
}

// Sign makes a token of these claims.
func (k *Key) Sign(claims map[string]any) string { return k.SignText(text(k.Header()), text(claims)) }

// SignText makes a token of a header and a payload that may be anything.
func (k *Key) SignText(header, payload string) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(k.signature([]byte(input)))
}

func (k *Key) signature(input []byte) []byte {
	var sig []byte
	var err error
	switch key := k.Private.(type) {
	case ed25519.PrivateKey:
		sig = ed25519.Sign(key, input)
	case *rsa.PrivateKey:
		digest := sha256.Sum256(input)
		sig, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(input)
		hashed := digest[:]
		if k.Algorithm == "ES384" {
			longer := sha512.Sum384(input)
			hashed = longer[:]
		}
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, key, hashed); err == nil {
			half := (key.Params().BitSize + 7) / 8
			sig = append(r.FillBytes(make([]byte, half)), s.FillBytes(make([]byte, half))...) // RFC 7518 section 3.4
		}
	}
	if err != nil {
		panic(err)
	}
	return sig
}

// JWKS is the public halves of keys, as a JWK Set.
func JWKS(keys ...*Key) []byte {
	list := make([]map[string]string, len(keys))
	for i, k := range keys {
		list[i] = map[string]string{"kid": k.ID, "alg": k.Algorithm, "use": "sig"}
		for name, value := range material(k.Private.Public()) {
			list[i][name] = value
		}
	}
	return []byte(text(map[string]any{"keys": list}))
}

func material(public crypto.PublicKey) map[string]string {
	switch pub := public.(type) {
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": b64(pub)}
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "n": b64(pub.N.Bytes()), "e": b64(big.NewInt(int64(pub.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := pub.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		return map[string]string{"kty": "EC", "crv": pub.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
	}
	panic("no such key")
}

func text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(out)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
