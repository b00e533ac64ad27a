// Package answerbody reads the bodies of answers that may hold secrets.
//
// Its law: no more is read than was allowed, and nothing of what was read is left behind in memory but the result, which
// belongs to the caller.
package answerbody

import (
	"errors"
	"fmt"
	"io"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// ErrTooLong: the answer is larger than any that is asked for can be. It is a kind of secret.ErrTooLarge.
var ErrTooLong = fmt.Errorf("%w: the answer", secret.ErrTooLarge)

// firstBytes is the room for a body whose length is not announced.
const firstBytes = 16 << 10

// Read reads all of r, at most most bytes; length is what the header announces, or -1. It fails with ErrTooLong, or with
// the error of r.
func Read(r io.Reader, length int64, most int) ([]byte, error) {
	if length > int64(most) {
		return nil, ErrTooLong
	}
	size := min(firstBytes, most+1)
	if length >= 0 {
		size = int(length) + 1 // room to see the end
	}
	b := make([]byte, 0, size)
	for {
		if len(b) == cap(b) {
			grown := append(make([]byte, 0, min(4*cap(b), most+1)), b...)
			clear(b)
			b = grown
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > most:
			clear(b)
			return nil, ErrTooLong
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			clear(b)
			return nil, err
		}
	}
}
