package audit

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// macInfo binds the derived key to its one use (RFC 5869 section 3.2).
const macInfo = "keyhole audit value mac v1"

// The first byte of what is authenticated, so that no value looks like a set of fields.
const (
	macValue  = 1
	macFields = 2
)

func macKey(seed []byte) ([]byte, error) {
	k, err := hkdf.Key(sha256.New, seed, nil, macInfo, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the value MAC key: %w", err)
	}
	return k, nil
}

// ValueMAC identifies one value for Result.ValueMAC: the first 128 bits of HMAC-SHA256 over a byte 1 and the value, with
// a key derived from the audit key (HKDF-SHA256, RFC 5869), so that a record is no target for a dictionary. It
// allocates: compute it once for each version that was fetched.
func (l *Log) ValueMAC(value []byte) MAC {
	h := hmac.New(sha256.New, l.macKey)
	_, _ = h.Write([]byte{macValue})
	_, _ = h.Write(value)
	return MAC(h.Sum(nil)[:16])
}

// SecretMAC is ValueMAC of an opaque secret. Fields are authenticated as a byte 2, their number, and name and value of
// each, in order; the number and each length are 32-bit big-endian.
func (l *Log) SecretMAC(s *secret.Secret) MAC {
	if s.Fields == nil {
		return l.ValueMAC(s.Value.Reveal())
	}
	h := hmac.New(sha256.New, l.macKey)
	head := binary.BigEndian.AppendUint32([]byte{macFields}, uint32(len(s.Fields)))
	_, _ = h.Write(head)
	var n [4]byte
	put := func(b []byte) {
		binary.BigEndian.PutUint32(n[:], uint32(len(b)))
		_, _ = h.Write(n[:])
		_, _ = h.Write(b)
	}
	for _, f := range s.Fields {
		put([]byte(f.Name))
		put(f.Value.Reveal())
	}
	return MAC(h.Sum(nil)[:16])
}
