package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Mix is what is asked for, in turn: request i is Requests[i % len(Requests)]. They go to one server.
type Mix struct {
	Addr     string   // host:port
	Requests [][]byte // whole HTTP/1.1 requests
}

func (m Mix) request(i int64) []byte { return m.Requests[i%int64(len(m.Requests))] }

// Outcome is what came of the requests of a run.
type Outcome struct {
	Good    int // answered with 200 or 201 in time
	Late    int // answered too late, or not at all while its client waited
	Shed    int // answered with 503
	Unsent  int // no connection was free when they were due
	Broken  int // their connection was closed
	Other   int // answered with another status
	Elapsed time.Duration
}

// PerSecond is the goodput.
func (o Outcome) PerSecond() float64 { return float64(o.Good) / o.Elapsed.Seconds() }

// Add adds the counts and the time of another run.
func (o *Outcome) Add(b Outcome) {
	o.Good += b.Good
	o.Late += b.Late
	o.Shed += b.Shed
	o.Unsent += b.Unsent
	o.Broken += b.Broken
	o.Other += b.Other
	o.Elapsed += b.Elapsed
}

// MixOnce sends each request of m once, one after the other. All answers must be good.
func MixOnce(ctx context.Context, m Mix) error {
	_, err := m.run(ctx, 1, 0, func(c *caller, _ time.Time) error {
		for _, request := range m.Requests {
			if err := c.good(ctx, request); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// MixClosed keeps conns connections busy for d. An answer that is not good ends the run: nothing may be shed at a peak.
func MixClosed(ctx context.Context, m Mix, conns int, d time.Duration) (Outcome, error) {
	var next atomic.Int64
	return m.run(ctx, conns, d, func(c *caller, start time.Time) error {
		for time.Since(start) < d {
			if err := c.good(ctx, m.request(next.Add(1)-1)); err != nil {
				return err
			}
		}
		return nil
	})
}

// sendSlack is how late a request may go out: as long as the generator may need to wake up.
const sendSlack = 20 * time.Millisecond

// MixOpen has rate requests a second due for d, evenly spaced, whatever the server does. A request goes out at once or,
// where all conns connections wait for answers, never: its client has found no place. Clients wait for patience from when
// a request was due, then hang up and connect anew for the next.
func MixOpen(ctx context.Context, m Mix, rate float64, conns int, patience, d time.Duration) (Outcome, error) {
	if rate <= 0 {
		return Outcome{}, errors.New("an open loop of no requests")
	}
	gap := float64(time.Second) / rate
	var next atomic.Int64
	return m.run(ctx, conns, d, func(c *caller, start time.Time) error {
		for ctx.Err() == nil {
			i := next.Add(1) - 1
			due := time.Duration(float64(i) * gap)
			if due >= d {
				return nil
			}
			switch late := time.Since(start) - due; {
			case late < 0:
				time.Sleep(-late)
			case late > sendSlack:
				c.out.Unsent++
				continue
			}
			c.ask(ctx, m.request(i), start.Add(due+patience))
		}
		return ctx.Err()
	})
}

func (m Mix) run(ctx context.Context, conns int, d time.Duration, f func(*caller, time.Time) error) (Outcome, error) {
	all := make([]*caller, conns)
	defer func() {
		for _, c := range all {
			c.hangUp()
		}
	}()
	for i := range all {
		all[i] = &caller{addr: m.Addr}
	}
	for i := range all {
		if err := all[i].connect(ctx, time.Now().Add(grace)); err != nil {
			return Outcome{}, err
		}
	}
	start := time.Now()
	errs := make([]error, conns)
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { errs[i] = f(c, start) })
	}
	wg.Wait()
	var sum Outcome
	for _, c := range all {
		sum.Add(c.out)
	}
	sum.Elapsed = max(d, time.Since(start))
	return sum, errors.Join(errs...)
}

// caller has one connection at a time.
type caller struct {
	addr string
	conn *conn // nil while there is none
	out  Outcome
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
func (c *caller) good(ctx context.Context, request []byte) error {
	before := c.out.Good
	if c.ask(ctx, request, time.Now().Add(grace)); c.out.Good == before {
		return fmt.Errorf("%w: %+v", ErrAnswer, c.out)
	}
	return ctx.Err()
}

// ask counts what comes of one request, for which its client waits until then.
func (c *caller) ask(ctx context.Context, request []byte, until time.Time) {
	status, err := c.exchange(ctx, request, until)
	var waited net.Error
	switch {
	case errors.As(err, &waited) && waited.Timeout(), err == nil && time.Now().After(until):
		c.out.Late++
	case err != nil:
		c.out.Broken++
	case status == http.StatusOK, status == http.StatusCreated:
		c.out.Good++
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
