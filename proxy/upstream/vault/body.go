package vault

import (
	"errors"
	"fmt"
	"io"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// errTooLong is an answer larger than that of the largest secret can be.
var errTooLong = fmt.Errorf("%w: an answer of more than %d bytes", secret.ErrTooLarge, maxBody)

// readBody reads all of r, at most maxBody bytes; length is what the header announces, or -1. Nothing that was read is
// left behind in memory but the result.
func readBody(r io.Reader, length int64) ([]byte, error) {
	if length > maxBody {
		return nil, errTooLong
	}
	size := 16 << 10
	if length >= 0 {
		size = int(length) + 1 // room to see the end
	}
	b := make([]byte, 0, size)
	for {
		if len(b) == cap(b) {
			grown := append(make([]byte, 0, min(4*cap(b), maxBody+1)), b...)
			clear(b)
			b = grown
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > maxBody:
			clear(b)
			return nil, errTooLong
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			clear(b)
			return nil, err
		}
	}
}
