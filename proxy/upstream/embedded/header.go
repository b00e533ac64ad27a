package embedded

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// The buckets of the file. bucketVault marks it as a vault.
var (
	bucketVault    = []byte("keyhole-vault")
	bucketHeads    = []byte("heads")    // name: head
	bucketVersions = []byte("versions") // name, 0, number: version record
	bucketOutbox   = []byte("outbox")   // sequence: name
	keyHeader      = []byte("header")
)

// formatVersion is the layout of all records. A program refuses a newer one and must read every older one.
const formatVersion = 1

// The header record: format u16, vault ID, a box of nothing that only the master key opens, and a checksum that tells
// damage from a wrong key.
const (
	headerSumBytes = 8
	headerBytes    = 2 + len(vaultID{}) + boxBytes + headerSumBytes
)

type header struct {
	id    vaultID
	check []byte
}

func newHeader(id vaultID, master []byte, random io.Reader) ([]byte, error) {
	aead, err := derive(master, id, "header", "")
	if err != nil {
		return nil, err
	}
	out := binary.BigEndian.AppendUint16(make([]byte, 0, headerBytes), formatVersion)
	out = append(out, id[:]...)
	if out, err = seal(aead, random, out, nil, headerBinding(id)); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(out)
	return append(out, sum[:headerSumBytes]...), nil
}

func headerBinding(id vaultID) []byte {
	return (&binding{id: id, version: formatVersion}).bytes(purposeHeader)
}

func decodeHeader(b []byte) (header, error) {
	if len(b) < 2 {
		return header{}, fmt.Errorf("%w: its header is cut short", ErrCorrupt)
	}
	if format := binary.BigEndian.Uint16(b); format > formatVersion {
		return header{}, fmt.Errorf("%w: format %d, this program reads up to %d", ErrNewerFormat, format, formatVersion)
	}
	if len(b) != headerBytes {
		return header{}, fmt.Errorf("%w: its header has %d bytes, not %d", ErrCorrupt, len(b), headerBytes)
	}
	body, sum := b[:headerBytes-headerSumBytes], sha256.Sum256(b[:headerBytes-headerSumBytes])
	if string(b[len(body):]) != string(sum[:headerSumBytes]) || binary.BigEndian.Uint16(b) == 0 {
		return header{}, fmt.Errorf("%w: its header was altered", ErrCorrupt)
	}
	h := header{check: body[2+len(vaultID{}):]}
	copy(h.id[:], body[2:])
	return h, nil
}

// readHeader identifies the vault and checks the master key against it.
func (v *Vault) readHeader(tx *bolt.Tx) error {
	b := tx.Bucket(bucketVault)
	if b == nil {
		return fmt.Errorf("%w: it is a database of another program", ErrForeign)
	}
	h, err := decodeHeader(b.Get(keyHeader))
	if err != nil {
		return err
	}
	for _, name := range [][]byte{bucketHeads, bucketVersions, bucketOutbox} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: it has no bucket %q", ErrCorrupt, name)
		}
	}
	aead, err := derive(v.key, h.id, "header", "")
	if err != nil {
		return err
	}
	if _, err := unseal(aead, h.check, headerBinding(h.id)); err != nil {
		return ErrWrongKey
	}
	v.id = h.id
	return nil
}

// makeBuckets makes an empty vault.
func makeBuckets(tx *bolt.Tx, master []byte, random io.Reader) error {
	var id vaultID
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return fmt.Errorf("drawing a vault ID: %w", err)
	}
	return makeBucketsOf(tx, id, master, random)
}

func makeBucketsOf(tx *bolt.Tx, id vaultID, master []byte, random io.Reader) error {
	for _, name := range [][]byte{bucketVault, bucketHeads, bucketVersions, bucketOutbox} {
		if _, err := tx.CreateBucket(name); err != nil {
			return fmt.Errorf("making bucket %q: %w", name, err)
		}
	}
	b, err := newHeader(id, master, random)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketVault).Put(keyHeader, b)
}
