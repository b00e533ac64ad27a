package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Hash is a SHA-256. The zero Hash stands for "nothing before".
type Hash [sha256.Size]byte

// String is the hash in 64 hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Position names one record of a log, and through its hash all records before it. The zero Position is the place
// before the first record.
type Position struct {
	Instance string
	Seq      uint64
	Hash     Hash
}

// String is INSTANCE:SEQ:HASH, which ParsePosition reads.
func (p Position) String() string {
	return p.Instance + ":" + strconv.FormatUint(p.Seq, 10) + ":" + p.Hash.String()
}

// ParsePosition reads what Position.String wrote. Instances may hold colons themselves.
func ParsePosition(s string) (Position, error) {
	var p Position
	rest, hash, _ := cutLast(s)
	instance, seq, ok := cutLast(rest)
	n, seqErr := strconv.ParseUint(seq, 10, 64)
	raw, hashErr := hex.DecodeString(hash)
	if !ok || !validName(instance) || seqErr != nil || n == 0 || hashErr != nil || len(raw) != len(p.Hash) {
		return Position{}, fmt.Errorf("a position in an audit log is INSTANCE:SEQ:HASH, not %.100q", s)
	}
	return Position{instance, n, Hash(raw)}, nil
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// IsZero reports whether p is the place before the first record.
func (p Position) IsZero() bool { return p == Position{} }

// Chain is a record's place in the log.
type Chain struct {
	Region    string
	Instance  string
	Seq       uint64 // from 1, within the instance
	Prev      Hash   // of the record before
	Hash      Hash   // of this record
	Continues Place  // Birth: the record that this one follows; its hash is Prev
	Rotated   bool   // Birth: the file before is whole and ends with that record; it was full
	PublicKey Key    // Birth: that verifies the log, where nobody else has it; else zero
	TornBytes uint64 // Torn: how much was moved to FILE.torn
	KeyID     string // Birth, Checkpoint, Seal: the key that signed
	Signature [ed25519.SignatureSize]byte
}

// Key is an Ed25519 public key.
type Key [ed25519.PublicKeySize]byte

// Place is an instance and a sequence number in it.
type Place struct {
	Instance string
	Seq      uint64
}

// Position of the record.
func (c *Chain) Position() Position { return Position{c.Instance, c.Seq, c.Hash} }

// signed reports whether records of kind k carry a signature.
func signed(k Kind) bool { return k == Birth || k == Checkpoint || k == Seal }

// appendSigned appends the bytes that a signature covers.
func appendSigned(dst []byte, instance string, seq uint64, digest Hash) []byte {
	dst = append(dst, "keyhole audit checkpoint v1\n"...)
	dst = append(dst, instance...)
	dst = append(dst, '\n')
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, '\n')
	dst = hex.AppendEncode(dst, digest[:])
	return append(dst, '\n')
}
