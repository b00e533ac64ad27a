package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy/internal/edseed"
)

// ErrInvalidKey is wrapped by the errors of the key parsers. Nothing of the key is in the error.
var ErrInvalidKey = errors.New("invalid audit key")

const (
	privateBlock = "PRIVATE KEY" // PKCS#8, RFC 5958
	publicBlock  = "PUBLIC KEY"  // SubjectPublicKeyInfo, RFC 5280
)

// GenerateSeed makes a new audit key, of which it computes nothing.
func GenerateSeed() []byte {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	return seed
}

// GenerateKey makes a new audit key.
func GenerateKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating an audit key: %w", err)
	}
	return key, nil
}

// MarshalKey encodes an audit key as PKCS#8 in PEM (RFC 8410). The result is secret.
func MarshalKey(key ed25519.PrivateKey) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrInvalidKey, len(key), ed25519.PrivateKeySize)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding an audit key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), nil
}

// ParseKey reads what MarshalKey wrote.
func ParseKey(text []byte) (ed25519.PrivateKey, error) {
	seed, err := ParseSeed(text)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// ParseSeed is ParseKey for who does not need the public half at once.
func ParseSeed(text []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != privateBlock {
		return nil, fmt.Errorf("%w: want a PEM block %q", ErrInvalidKey, privateBlock)
	}
	defer clear(block.Bytes)
	seed, err := edseed.FromPKCS8(block.Bytes)
	switch {
	case errors.Is(err, edseed.ErrAlgorithm):
		return nil, fmt.Errorf("%w: not Ed25519", ErrInvalidKey)
	case err != nil:
		return nil, fmt.Errorf("%w: not PKCS#8", ErrInvalidKey)
	}
	return seed, nil
}

// MarshalPublicKey encodes the key that verifies a log in PEM.
func MarshalPublicKey(key ed25519.PublicKey) ([]byte, error) {
	if len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrInvalidKey, len(key), ed25519.PublicKeySize)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a public audit key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der}), nil
}

// ParsePublicKey reads what MarshalPublicKey wrote, or takes the public half of what MarshalKey wrote.
func ParsePublicKey(text []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: want a PEM block %q or %q", ErrInvalidKey, publicBlock, privateBlock)
	}
	if block.Type == privateBlock {
		key, err := ParseKey(text)
		if err != nil {
			return nil, err
		}
		return key.Public().(ed25519.PublicKey), nil
	}
	if block.Type != publicBlock {
		return nil, fmt.Errorf("%w: want a PEM block %q or %q", ErrInvalidKey, publicBlock, privateBlock)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: not a public key", ErrInvalidKey)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: not Ed25519", ErrInvalidKey)
	}
	return key, nil
}

// KeyID names a key in records: the first 64 bits of the SHA-256 of its 32 bytes, in hex.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}
