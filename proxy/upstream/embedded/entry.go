package embedded

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// head is what the vault knows of one name: which versions it keeps. It outlives the versions themselves, so that their
// numbers stay used: oldest is last+1 for a deleted secret. The zero head is that of a name never written.
type head struct {
	last    uint64 // the highest number ever given
	oldest  uint64 // the lowest number kept
	updated uint64 // when last was written or deleted, in ms since 1970, UTC
}

const headBytes = 3 * 8

func (h head) exists() bool { return h.last > 0 && h.oldest <= h.last }

func (h head) encode() []byte {
	out := binary.BigEndian.AppendUint64(make([]byte, 0, headBytes), h.last)
	out = binary.BigEndian.AppendUint64(out, h.oldest)
	return binary.BigEndian.AppendUint64(out, h.updated)
}

func decodeHead(b []byte) (head, error) {
	if len(b) != headBytes {
		return head{}, fmt.Errorf("%w: a head has %d bytes, not %d", ErrCorrupt, len(b), headBytes)
	}
	h := head{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
	// Times beyond what time.UnixMilli takes, and numbers about to overflow, were never written.
	if h.last == 0 || h.last > math.MaxInt64 || h.oldest == 0 || h.oldest > h.last+1 || h.updated > math.MaxInt64 {
		return head{}, fmt.Errorf("%w: a head makes no sense", ErrCorrupt)
	}
	return h, nil
}

// pick resolves a selector or a number to a version that is kept.
func (h head) pick(v secret.Version) (uint64, bool) {
	if !h.exists() {
		return 0, false
	}
	n := h.last
	switch v {
	case "", secret.Current:
	case secret.Previous:
		n--
	default:
		var err error
		if n, err = strconv.ParseUint(string(v), 10, 64); err != nil || formatNumber(n) != v {
			return 0, false
		}
	}
	return n, h.oldest <= n && n <= h.last
}

func formatNumber(n uint64) secret.Version { return secret.Version(strconv.FormatUint(n, 10)) }

// entry is one name within a transaction, and the cipher of its heads and data keys.
type entry struct {
	tx     *bolt.Tx
	random io.Reader
	id     vaultID
	name   string
	aead   cipher.AEAD
}

func (v *Vault) entry(tx *bolt.Tx, name string) (*entry, error) {
	aead, err := derive(v.key, v.id, "name", name)
	if err != nil {
		return nil, err
	}
	return &entry{tx, v.random, v.id, name, aead}, nil
}

func (e *entry) headBinding() []byte {
	return (&binding{id: e.id, name: e.name}).bytes(purposeHead)
}

// head returns the zero head for a name never written.
func (e *entry) head() (head, error) {
	box := e.tx.Bucket(bucketHeads).Get([]byte(e.name))
	if box == nil {
		return head{}, nil
	}
	return e.openHead(box)
}

func (e *entry) openHead(box []byte) (head, error) {
	plain, err := unseal(e.aead, box, e.headBinding())
	if err != nil {
		return head{}, err
	}
	return decodeHead(plain)
}

func (e *entry) putHead(h head) error {
	box, err := seal(e.aead, e.random, nil, h.encode(), e.headBinding())
	if err != nil {
		return err
	}
	return e.tx.Bucket(bucketHeads).Put([]byte(e.name), box)
}

// key is the name, a zero byte, which no name holds, and the number, so that versions of a name lie together in order.
func (e *entry) key(n uint64) []byte {
	k := append(make([]byte, 0, len(e.name)+9), e.name...)
	return binary.BigEndian.AppendUint64(append(k, 0), n)
}

// hasVersions looks for any version, whatever the head says.
func (e *entry) hasVersions() bool {
	k, _ := e.tx.Bucket(bucketVersions).Cursor().Seek(e.key(0))
	return bytes.HasPrefix(k, e.key(0)[:len(e.name)+1])
}

// version returns the stored record of a version that the head says is kept.
func (e *entry) version(n uint64) (*record, error) {
	b := e.tx.Bucket(bucketVersions).Get(e.key(n))
	if b == nil {
		return nil, fmt.Errorf("%w: a version is missing", ErrCorrupt)
	}
	return e.openRecord(n, b)
}

func (e *entry) putVersion(n, created uint64, payload, metadata []byte) error {
	b, err := e.sealRecord(n, created, payload, metadata)
	if err != nil {
		return err
	}
	return e.tx.Bucket(bucketVersions).Put(e.key(n), b)
}

func (e *entry) deleteVersion(n uint64) error { return e.tx.Bucket(bucketVersions).Delete(e.key(n)) }
