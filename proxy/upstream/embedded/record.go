package embedded

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// A version record: created u64, box of the data key, length u32 and box of the metadata, box of the payload. Metadata
// comes first and apart so that a listing need not open values.
const (
	wrappedBytes = boxBytes + KeyBytes
	recordPrefix = 8 + wrappedBytes + 4
)

// record is a version record whose data key has been opened. Its boxes may lie in mapped memory: it is valid only
// within its transaction.
type record struct {
	binding  binding
	aead     cipher.AEAD
	metadata []byte
	payload  []byte
}

// splitRecord finds the parts of a record without opening any.
func splitRecord(b []byte) (created uint64, wrapped, metadata, payload []byte, err error) {
	if len(b) < recordPrefix {
		return 0, nil, nil, nil, fmt.Errorf("%w: a version is cut short", ErrCorrupt)
	}
	created = binary.BigEndian.Uint64(b)
	wrapped = b[8 : 8+wrappedBytes]
	n := uint64(binary.BigEndian.Uint32(b[8+wrappedBytes:]))
	rest := b[recordPrefix:]
	if n > uint64(len(rest)) || created > math.MaxInt64 {
		return 0, nil, nil, nil, fmt.Errorf("%w: a version makes no sense", ErrCorrupt)
	}
	return created, wrapped, rest[:n], rest[n:], nil
}

func (e *entry) openRecord(n uint64, b []byte) (*record, error) {
	created, wrapped, metadata, payload, err := splitRecord(b)
	if err != nil {
		return nil, err
	}
	bound := binding{id: e.id, version: n, created: created, name: e.name}
	key, err := unseal(e.aead, wrapped, bound.bytes(purposeDataKey))
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return &record{bound, aead, metadata, payload}, nil
}

func (r *record) openMetadata() (map[string]string, error) {
	plain, err := unseal(r.aead, r.metadata, r.binding.bytes(purposeMetadata))
	if err != nil {
		return nil, err
	}
	return decodeMetadata(plain)
}

// openPayload returns the encoded value or fields; the caller wipes it or gives it away.
func (r *record) openPayload() ([]byte, error) {
	return unseal(r.aead, r.payload, r.binding.bytes(purposePayload))
}

func (e *entry) sealRecord(n, created uint64, payload, metadata []byte) ([]byte, error) {
	key := make([]byte, KeyBytes)
	defer clear(key)
	if _, err := io.ReadFull(e.random, key); err != nil {
		return nil, fmt.Errorf("drawing a data key: %w", err)
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	bound := binding{id: e.id, version: n, created: created, name: e.name}
	out := make([]byte, 0, recordPrefix+2*boxBytes+len(metadata)+len(payload))
	out = binary.BigEndian.AppendUint64(out, created)
	if out, err = seal(e.aead, e.random, out, key, bound.bytes(purposeDataKey)); err != nil {
		return nil, err
	}
	out = binary.BigEndian.AppendUint32(out, uint32(boxBytes+len(metadata)))
	if out, err = seal(aead, e.random, out, metadata, bound.bytes(purposeMetadata)); err != nil {
		return nil, err
	}
	return seal(aead, e.random, out, payload, bound.bytes(purposePayload))
}
