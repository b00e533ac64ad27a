package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy/internal/edseed"
)

// ErrInvalidSigningKey is wrapped by the errors of ParseSigningKey: the file is not a signing key of ours.
var ErrInvalidSigningKey = errors.New("invalid signing key")

const pemType = "PRIVATE KEY"

// GenerateSigningKey makes a new Ed25519 key.
func GenerateSigningKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a signing key: %w", err)
	}
	return key, nil
}

// MarshalSigningKey gives the PEM form of a key (PKCS #8, RFC 8410). Whoever can read it can make any token.
func MarshalSigningKey(key ed25519.PrivateKey) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: an Ed25519 key has 64 bytes", ErrInvalidSigningKey)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: it cannot be encoded", ErrInvalidSigningKey)
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// ParseSigningKey reads the PEM form of one key: a single PKCS #8 block with an Ed25519 key, spaces around it, and
// nothing else. The caller may wipe text afterwards. Errors quote nothing.
func ParseSigningKey(text []byte) (ed25519.PrivateKey, error) {
	seed, err := ParseSigningSeed(text)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return ed25519.NewKeyFromSeed(seed), nil
}

// ParseSigningSeed is ParseSigningKey for who does not need the public half at once.
func ParseSigningSeed(text []byte) ([]byte, error) {
	text = bytes.TrimSpace(text)
	if !bytes.HasPrefix(text, []byte("-----BEGIN "+pemType+"-----")) {
		return nil, fmt.Errorf("%w: want one PEM block of type %q", ErrInvalidSigningKey, pemType)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: want one PEM block of type %q", ErrInvalidSigningKey, pemType)
	}
	defer clear(block.Bytes)
	seed, err := edseed.FromPKCS8(block.Bytes)
	switch {
	case errors.Is(err, edseed.ErrAlgorithm):
		return nil, fmt.Errorf("%w: the key is not an Ed25519 key", ErrInvalidSigningKey)
	case err != nil:
		return nil, fmt.Errorf("%w: the PEM block does not hold a PKCS #8 key", ErrInvalidSigningKey)
	}
	return seed, nil
}
