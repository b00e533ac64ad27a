package audit

import (
	"crypto/ed25519"
	"time"
)

// Encode writes r as one unsigned line of the given place, the way Append does.
func Encode(dst []byte, r *Record, c Chain) []byte {
	start := len(dst)
	dst = appendBody(dst, r, &c)
	dst, _ = appendHash(dst, start)
	return dst
}

// EncodeSigned writes r with the signature that it holds.
func EncodeSigned(r *Record) []byte { return appendDecoded(nil, r) }

// Sign makes the signature of a birth, checkpoint or seal, as whoever has the key can.
func Sign(r *Record, key ed25519.PrivateKey) {
	r.Chain.KeyID = KeyID(key.Public().(ed25519.PublicKey))
	digest := signedDigest(EncodeSigned(r))
	message := appendSigned(nil, r.Chain.Instance, r.Chain.Seq, digest)
	r.Chain.Signature = [ed25519.SignatureSize]byte(ed25519.Sign(key, message))
}

// Quote writes one text of a record.
func Quote(s string, limit int) string { return string(appendQuoted(nil, s, limit)) }

// Time writes a time of a record.
func Time(t time.Time) string { return string(appendTime(nil, t)) }

// Kept is the bytes of the buffers that wait to be used again.
func Kept(l *Log) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.free {
		n += cap(b.buf)
	}
	return n
}

// ValidID reports whether s is a ULID.
func ValidID(s string) bool { return validID(s) }

// IDTime is the time in a ULID.
func IDTime(id string) time.Time { return idTime(id) }
