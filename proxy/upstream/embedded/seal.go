package embedded

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
)

type vaultID [16]byte

// What a box holds. It is part of what the box is bound to.
type purpose byte

const (
	purposeHeader purpose = iota + 1
	purposeHead
	purposeDataKey
	purposeMetadata
	purposePayload
)

// binding is the associated data of a box: everything that must not change around it. All parts but the last have a
// fixed size, so no two bindings encode alike.
type binding struct {
	id      vaultID
	version uint64
	created uint64 // ms since 1970, UTC
	name    string
}

func (b *binding) bytes(p purpose) []byte {
	out := make([]byte, 0, 48+len(b.name))
	out = append(out, "keyhole vault\x00"...)
	out = append(out, byte(p))
	out = append(out, b.id[:]...)
	out = binary.BigEndian.AppendUint64(out, b.version)
	out = binary.BigEndian.AppendUint64(out, b.created)
	return append(out, b.name...)
}

const (
	nonceBytes = 12
	tagBytes   = 16
	boxBytes   = nonceBytes + tagBytes // what a box adds to its content
)

// newAEAD makes an AES-256-GCM from a 32-byte key, which the caller wipes.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("preparing cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("preparing cipher: %w", err)
	}
	return aead, nil
}

// derive makes the cipher for one use of the master key (RFC 5869): for the header, or for one name. Keys by name keep
// the number of random nonces under any one key far below the 2^32 that GCM allows (NIST SP 800-38D section 8.3).
func derive(master []byte, id vaultID, use, name string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, master, id[:], "keyhole vault "+use+"\x00"+name, KeyBytes)
	if err != nil {
		return nil, fmt.Errorf("deriving key: %w", err)
	}
	defer clear(key)
	return newAEAD(key)
}

// seal appends the box of plain to dst: nonce, ciphertext, tag.
func seal(aead cipher.AEAD, random io.Reader, dst, plain, bound []byte) ([]byte, error) {
	n := len(dst)
	dst = append(dst, make([]byte, nonceBytes)...)
	nonce := dst[n:]
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	return aead.Seal(dst, nonce, plain, bound), nil
}

// unseal returns the content of box in fresh memory, or ErrCorrupt.
func unseal(aead cipher.AEAD, box, bound []byte) ([]byte, error) {
	if len(box) < boxBytes {
		return nil, fmt.Errorf("%w: an entry is cut short", ErrCorrupt)
	}
	plain, err := aead.Open(nil, box[:nonceBytes], box[nonceBytes:], bound)
	if err != nil {
		return nil, fmt.Errorf("%w: an entry was altered or is not where it was written", ErrCorrupt)
	}
	return plain, nil
}
