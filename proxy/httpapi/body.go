package httpapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

// Memory for bodies: it grows with what has arrived, never with what was announced, and all requests together have a
// bound, because it is spent before anybody is asked for a token.
const (
	firstBodyBytes   = 4 << 10
	allBodyBytes     = 64 << 20
	largeBodyBytes   = 64 << 10             // from here on a body is large,
	largeBodiesBytes = allBodyBytes / 4 * 3 // and these leave room for others
	retryAfterBodies = time.Second
)

// body is a request body in memory. It must be freed, error or not, which wipes it.
type body struct {
	bytes  []byte
	native *Native
	held   int64
}

func (b *body) free() {
	clear(b.bytes[:cap(b.bytes)]) // of a body over its limit a byte has arrived beyond what counts
	b.native.bodies.Add(-b.held)
	b.held = 0
}

// hold makes room for n bytes in all and moves what is there, wiping where it was.
func (b *body) hold(n int) error {
	grown, most := int64(n)-b.held, int64(allBodyBytes)
	if n > largeBodyBytes {
		most = largeBodiesBytes
	}
	if b.native.bodies.Add(grown) > most {
		b.native.bodies.Add(-grown)
		return &proxy.Error{Code: api.Overloaded, Message: "too many large requests at once; try again", RetryAfter: retryAfterBodies}
	}
	b.held = int64(n)
	next := make([]byte, len(b.bytes), n)
	copy(next, b.bytes)
	clear(b.bytes)
	b.bytes = next
	return nil
}

// body reads a JSON body of at most limit bytes. While it arrives, which its sender may draw out, the request has no place
// among those in flight.
func (n *Native) body(w http.ResponseWriter, r *http.Request, limit int) (*body, error) {
	return n.bodyOf(w, r, limit, "application/json")
}

// bodyOf is body for any media type.
func (n *Native) bodyOf(w http.ResponseWriter, r *http.Request, limit int, want string) (*body, error) {
	b := &body{native: n}
	if err := only(want, r.Header); err != nil {
		return b, err
	}
	if r.ContentLength > int64(limit) {
		return b, bodyTooLarge(limit)
	}
	in := http.MaxBytesReader(w, r.Body, int64(limit))
	var err error
	if full := n.proxy.Await(func() { err = b.fill(in, limit) }); full != nil && err == nil {
		err = full
	}
	return b, err
}

// fill reads to the end.
func (b *body) fill(in io.Reader, limit int) error {
	for {
		if len(b.bytes) == cap(b.bytes) {
			// One byte more than the limit leaves room to read to the end of a body that is just as long.
			if err := b.hold(min(max(firstBodyBytes, 2*cap(b.bytes)), limit+1)); err != nil {
				return err
			}
		}
		k, err := in.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+k]
		var over *http.MaxBytesError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &over):
			return bodyTooLarge(limit)
		case err != nil:
			return fail(api.InvalidRequest, "the body could not be read to its end")
		}
	}
}

func bodyTooLarge(limit int) error {
	return fail(api.TooLarge, fmt.Sprintf("the body is larger than %d bytes", limit))
}

func only(want string, h http.Header) error {
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := params["charset"]
	switch {
	case err != nil, media != want, charset != "" && !strings.EqualFold(charset, "utf-8"), len(h["Content-Type"]) != 1:
		return fail(api.UnsupportedMediaType, "send the body as Content-Type: "+want)
	case h.Get("Content-Encoding") != "":
		return fail(api.UnsupportedMediaType, "send the body without a Content-Encoding")
	}
	return nil
}
