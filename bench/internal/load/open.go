package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// OpenSummary is what an open loop did.
type OpenSummary struct {
	Summary
	Times []time.Duration // from when a request was due to the end of its answer, sorted
	// Lags are how late the requests went out that were due while their connection waited for them, sorted: what the
	// generator itself adds to Times, mostly by waking up.
	Lags []time.Duration
}

// Open sends rate requests per second for d, evenly spaced, over conns connections. When all of them wait for answers,
// requests go out late, and the wait is part of their time; none is left out. Where the server cannot keep up, the run
// takes longer than d.
func Open(ctx context.Context, t Target, rate float64, conns int, d time.Duration) (OpenSummary, error) {
	total := int64(rate * d.Seconds())
	if total < 1 || conns < 1 {
		return OpenSummary{}, errors.New("an open loop of no requests")
	}
	all, err := dial(ctx, t, conns, d)
	if err != nil {
		return OpenSummary{}, err
	}
	defer closeAll(all)
	for _, c := range all {
		c.times = make([]time.Duration, 0, 2*total/int64(conns)+16)
		c.lags = make([]time.Duration, 0, cap(c.times))
	}
	var next atomic.Int64
	gap := float64(time.Second) / rate
	start := time.Now()
	err = each(all, func(c *conn) error {
		for ctx.Err() == nil {
			i := next.Add(1) - 1
			if i >= total {
				return nil
			}
			due := time.Duration(float64(i) * gap)
			if wait := due - time.Since(start); wait > 0 {
				time.Sleep(wait)
				c.lags = append(c.lags, time.Since(start)-due)
			}
			if err := c.ask(); err != nil {
				return err
			}
			c.times = append(c.times, time.Since(start)-due)
		}
		return ctx.Err()
	})
	s := OpenSummary{Summary: Summary{Elapsed: time.Since(start)}}
	for _, c := range all {
		s.Requests += c.answers
		s.Bytes += c.bytes
		s.Times = append(s.Times, c.times...)
		s.Lags = append(s.Lags, c.lags...)
	}
	slices.Sort(s.Times)
	slices.Sort(s.Lags)
	if err == nil && int64(len(s.Times)) != total {
		err = fmt.Errorf("%d of %d requests have a time", len(s.Times), total)
	}
	return s, err
}

// Percentile takes the nearest rank: the smallest time that at least the share p of all times do not exceed. It is 0
// where there are none.
func Percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(p * float64(len(sorted)))
	if float64(rank) < p*float64(len(sorted)) {
		rank++
	}
	return sorted[min(max(rank, 1), len(sorted))-1]
}
