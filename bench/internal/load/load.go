// Package load puts HTTP/1.1 servers under load: in a closed loop, where each connection asks again when it has its
// answer, by wrk or by a generator of this package; and in an open loop, where requests are due at fixed times whatever
// the server does. Its laws: an answer that is not the one asked for ends the run with an error, and the time an answer
// took counts from when its request was due, so that a server that stalls cannot hide the requests that waited.
package load

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

// ErrAnswer is wrapped where a server did not answer as the target wants it to: what was measured is something else.
var ErrAnswer = errors.New("not the answer that is measured")

// Target is the one request that is repeated.
type Target struct {
	URL     string   // http only
	Headers []string // "Name: value"
	Want    string   // a header line that every answer must have, as in "X-Keyhole-Cache: hit"; "" for none
}

// Summary is what a closed loop did.
type Summary struct {
	Requests int           // answered with 200
	Bytes    int64         // received, headers included
	Elapsed  time.Duration // of all of it
	// InFlight bounds the requests that the server may have answered beyond Requests, when the end of the run cut them off.
	InFlight int
}

// PerSecond is the throughput.
func (s Summary) PerSecond() float64 { return float64(s.Requests) / s.Elapsed.Seconds() }

// address and request give what goes over the wire.
func (t Target) address() (string, []byte, error) {
	u, err := url.Parse(t.URL)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return "", nil, fmt.Errorf("target %q: want http://HOST:PORT/PATH", t.URL)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", u.RequestURI(), u.Host)
	for _, h := range t.Headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n")
	return u.Host, []byte(b.String()), nil
}

// Closed keeps conns connections busy for d. It ends each with a whole answer, so InFlight is 0.
func Closed(ctx context.Context, t Target, conns int, d time.Duration) (Summary, error) {
	all, err := dial(ctx, t, conns, d)
	if err != nil {
		return Summary{}, err
	}
	defer closeAll(all)
	start := time.Now()
	err = each(all, func(c *conn) error {
		for time.Since(start) < d && ctx.Err() == nil {
			if err := c.ask(); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	return summarize(all, time.Since(start)), err
}

func summarize(all []*conn, elapsed time.Duration) Summary {
	s := Summary{Elapsed: elapsed}
	for _, c := range all {
		s.Requests += c.answers
		s.Bytes += c.bytes
	}
	return s
}

// each runs f for every connection at the same time and returns one of the errors. The first one ends them all.
func each(conns []*conn, f func(*conn) error) error {
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for _, c := range conns {
		wg.Go(func() {
			if err := f(c); err != nil {
				once.Do(func() {
					first = err
					closeAll(conns)
				})
			}
		})
	}
	wg.Wait()
	return first
}
