package audit

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"
)

// crockford is the digits of ULIDs, Crockford's base 32, and ulidTime the number of those that are milliseconds.
const (
	crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	ulidTime  = 10
	maxMillis = 1<<48 - 1
)

// NewID makes the ULID of a decision: 48 bits of milliseconds and 80 bits from crypto/rand, so that nobody can guess the
// id of another's decision or approval.
func NewID(now time.Time) string {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails
	high := uint64(min(max(now.UnixMilli(), 0), maxMillis))<<16 | uint64(binary.BigEndian.Uint16(random[:]))
	low := binary.BigEndian.Uint64(random[2:])
	var id [maxULID]byte
	for i := maxULID - 1; i >= 0; i-- {
		id[i] = crockford[low&31]
		high, low = high>>5, high<<59|low>>5
	}
	return string(id[:])
}

// validID reports whether s is a ULID: 26 digits of Crockford's base 32, at most 128 bits.
func validID(s string) bool {
	if len(s) != maxULID || s[0] > '7' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if ('0' > c || c > '9') && ('A' > c || c > 'Z' || c == 'I' || c == 'L' || c == 'O' || c == 'U') {
			return false
		}
	}
	return true
}

// idTime is the time in a valid ULID.
func idTime(id string) time.Time {
	var ms int64
	for i := range ulidTime {
		ms = ms<<5 | int64(strings.IndexByte(crockford, id[i]))
	}
	return time.UnixMilli(ms)
}
