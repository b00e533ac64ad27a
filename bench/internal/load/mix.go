package load

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Kinds is how many kinds of requests a mix may tell apart.
const Kinds = 3

// Mix is what is asked for, in turn: request i is Requests[i % len(Requests)]. They go to one server.
type Mix struct {
	Addr     string // host:port
	Requests []Request
}

// Request is one of a mix.
type Request struct {
	Kind int    // from 0, less than Kinds
	Text []byte // the whole of it, in HTTP/1.1
}

func (m Mix) request(i int64) Request { return m.Requests[i%int64(len(m.Requests))] }

// Outcome is what came of the requests of a run.
type Outcome struct {
	Good    int // answered with 200 or 201 in time
	Late    int // answered too late, or not at all while its client waited
	Shed    int // answered with 503
	Unsent  int // no connection was free when they were due
	Broken  int // their connection was closed
	Other   int // answered with another status
	Elapsed time.Duration

	ByKind [Kinds]int // of Good
}

// PerSecond is the goodput.
func (o Outcome) PerSecond() float64 { return float64(o.Good) / o.Elapsed.Seconds() }

// Sent counts what was put to the server, whatever came of it.
func (o Outcome) Sent() int { return o.Good + o.Late + o.Shed + o.Broken + o.Other }

// Add adds the counts and the time of another run.
func (o *Outcome) Add(b Outcome) {
	o.Good += b.Good
	o.Late += b.Late
	o.Shed += b.Shed
	o.Unsent += b.Unsent
	o.Broken += b.Broken
	o.Other += b.Other
	o.Elapsed += b.Elapsed
	for k, n := range b.ByKind {
		o.ByKind[k] += n
	}
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

// MixOpen has rate requests a second due for d, evenly spaced, whatever the server does. A request goes out at once, over
// the connection that became free last; or, where all conns connections wait for answers, never.
// Clients wait for patience from when a request was due, then hang up and connect anew for the next.
func MixOpen(ctx context.Context, m Mix, rate float64, conns int, patience, d time.Duration) (Outcome, error) {
	if rate <= 0 || conns < 1 {
		return Outcome{}, errors.New("an open loop of no requests")
	}
	gap := float64(time.Second) / rate
	all, err := callers(ctx, m.Addr, conns)
	defer hangUp(all)
	if err != nil {
		return Outcome{}, err
	}
	w := &workers{free: slices.Clone(all)}
	start := time.Now()
	for i := int64(0); ctx.Err() == nil; i++ {
		due := time.Duration(float64(i) * gap)
		if due >= d {
			break
		}
		time.Sleep(due - time.Since(start))
		w.send(ctx, m.request(i), start.Add(due+patience))
	}
	w.busy.Wait()
	out := sum(all, max(d, time.Since(start)))
	out.Unsent = w.unsent
	return out, ctx.Err()
}

func (m Mix) run(ctx context.Context, conns int, d time.Duration, f func(*caller, time.Time) error) (Outcome, error) {
	all, err := callers(ctx, m.Addr, conns)
	defer hangUp(all)
	if err != nil {
		return Outcome{}, err
	}
	start := time.Now()
	errs := make([]error, conns)
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { errs[i] = f(c, start) })
	}
	wg.Wait()
	return sum(all, max(d, time.Since(start))), errors.Join(errs...)
}

func sum(all []*caller, elapsed time.Duration) (o Outcome) {
	for _, c := range all {
		o.Add(c.out)
	}
	o.Elapsed = elapsed
	return o
}
