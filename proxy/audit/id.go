package audit

import (
	"crypto/rand"
	"time"

	"github.com/oklog/ulid/v2"
)

// NewID makes the ULID of a decision: 48 bits of milliseconds and 80 bits from crypto/rand, so that nobody can guess the
// id of another's decision or approval.
func NewID(now time.Time) string {
	var id ulid.ULID
	_ = id.SetTime(uint64(min(max(now.UnixMilli(), 0), int64(ulid.MaxTime())))) // in range by construction
	_, _ = rand.Read(id[6:])                                                    // never fails
	return id.String()
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
