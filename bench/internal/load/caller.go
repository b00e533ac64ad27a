package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// caller has one connection at a time.
type caller struct {
	addr string
	conn *conn // nil while there is none
	out  Outcome
}

// callers are n, each connected. They are to be hung up, error or not.
func callers(ctx context.Context, addr string, n int) (all []*caller, err error) {
	for range n {
		c := &caller{addr: addr}
		if err := c.connect(ctx, time.Now().Add(grace)); err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

func hangUp(all []*caller) {
	for _, c := range all {
		c.hangUp()
	}
}

func (c *caller) connect(ctx context.Context, until time.Time) error {
	n, err := (&net.Dialer{Deadline: until}).DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	c.conn = &conn{net: n, in: bufio.NewReaderSize(n, 4<<10)}
	return nil
}

func (c *caller) hangUp() {
	if c.conn != nil {
		_ = c.conn.net.Close()
		c.conn = nil
	}
}

// good asks, and fails where the answer is not good.
func (c *caller) good(ctx context.Context, request Request) error {
	before := c.out.Good
	if c.ask(ctx, request, time.Now().Add(grace)); c.out.Good == before {
		return fmt.Errorf("%w: %+v", ErrAnswer, c.out)
	}
	return ctx.Err()
}

// ask counts what comes of one request, for which its client waits until then.
func (c *caller) ask(ctx context.Context, request Request, until time.Time) {
	status, err := c.exchange(ctx, request.Text, until)
	var waited net.Error
	switch {
	case errors.As(err, &waited) && waited.Timeout(), err == nil && time.Now().After(until):
		c.out.Late++
	case err != nil:
		c.out.Broken++
	case status == http.StatusOK, status == http.StatusCreated:
		c.out.Good++
		c.out.ByKind[request.Kind]++
	case status == http.StatusServiceUnavailable:
		c.out.Shed++
	default:
		c.out.Other++
	}
	if err != nil {
		c.hangUp()
	}
}

func (c *caller) exchange(ctx context.Context, request []byte, until time.Time) (status int, err error) {
	if c.conn == nil {
		if err := c.connect(ctx, until); err != nil {
			return 0, err
		}
	}
	if err := c.conn.net.SetDeadline(until); err != nil {
		return 0, err
	}
	status, _, err = c.conn.exchange(request)
	return status, err
}
