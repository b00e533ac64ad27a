package load

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Number stands in the URL of a target of Numbered where the number goes.
const Number = "00000000"

// Numbered is Closed for targets that differ in a number: each request has another one below n, in an order that looks
// random and is the same in every run. It is written into a request that is there, so that the generator costs the same
// whatever n is.
func Numbered(ctx context.Context, t Target, conns, n int, d time.Duration) (Summary, error) {
	all, err := dial(ctx, t, conns, d)
	if err != nil {
		return Summary{}, err
	}
	defer closeAll(all)
	start := time.Now()
	index := make(map[*conn]uint64, conns)
	for i, c := range all {
		index[c] = uint64(i)
	}
	err = each(all, func(c *conn) error {
		request := bytes.Clone(c.request)
		at := bytes.Index(request, []byte(Number))
		if at < 0 || n < 1 {
			return fmt.Errorf("target %q has no %s", t.URL, Number)
		}
		digits := request[at : at+len(Number)]
		r := rand.New(rand.NewPCG(1, index[c]))
		c.request = request
		for time.Since(start) < d && ctx.Err() == nil {
			writeNumber(digits, r.IntN(n))
			if err := c.ask(); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	return summarize(all, time.Since(start)), err
}

func writeNumber(digits []byte, n int) {
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
}
