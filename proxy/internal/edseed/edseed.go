// Package edseed reads the seed of an Ed25519 key (RFC 8032 section 5.1.5), which is all of the key, and leaves the public
// half for when it is needed: the first in a process makes a table of the curve, which is the longest step of a start.
package edseed

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
)

// ErrAlgorithm says that the key is one of another algorithm.
var ErrAlgorithm = errors.New("not Ed25519")

// FromPKCS8 takes the seed out of a PKCS #8 key (RFC 8410 section 7). The caller may wipe der, and owns the seed.
func FromPKCS8(der []byte) ([]byte, error) {
	// What a key without attributes and public half looks like in DER, before the seed.
	prefix := [...]byte{0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, ed25519.SeedSize}
	if seed, ok := bytes.CutPrefix(der, prefix[:]); ok && len(seed) == ed25519.SeedSize {
		return bytes.Clone(seed), nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, ErrAlgorithm
	}
	return key.Seed(), nil
}
