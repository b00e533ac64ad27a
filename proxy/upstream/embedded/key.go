package embedded

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// KeyBytes is the length of a master key.
const KeyBytes = 32

// keyPrefix lets people and secret scanners recognise a master key.
const keyPrefix = "keyhole-master-key-v1:"

// ErrInvalidKey is wrapped by every error of ParseKey. No error shows any of the text. Make a key with GenerateKey.
var ErrInvalidKey = errors.New("invalid master key")

// GenerateKey makes a master key in its text form, one line with its end: "keyhole-master-key-v1:", then the 32 bytes in
// padded base64 (RFC 4648 section 4). A nil random is crypto/rand.
func GenerateKey(random io.Reader) ([]byte, error) {
	if random == nil {
		random = rand.Reader
	}
	key := make([]byte, KeyBytes)
	defer clear(key)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("generating master key: %w", err)
	}
	text := base64.StdEncoding.AppendEncode([]byte(keyPrefix), key)
	return append(text, '\n'), nil
}

// ParseKey reads the text form of a master key and returns its 32 bytes. One line end after it is allowed and nothing
// else: a key that was cut, joined or re-encoded on its way must not become another key.
func ParseKey(text []byte) ([]byte, error) {
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	encoded, ok := bytes.CutPrefix(text, []byte(keyPrefix))
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrInvalidKey, keyPrefix)
	}
	if want := base64.StdEncoding.EncodedLen(KeyBytes); len(encoded) != want {
		return nil, fmt.Errorf("%w: %d characters follow %q, not %d", ErrInvalidKey, len(encoded), keyPrefix, want)
	}
	// The decoder skips line ends, so the length of the result is checked as well.
	key := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Strict().Decode(key, encoded)
	if err != nil || n != KeyBytes {
		clear(key)
		return nil, fmt.Errorf("%w: what follows %q is not base64 of %d bytes", ErrInvalidKey, keyPrefix, KeyBytes)
	}
	return key[:n:n], nil
}
