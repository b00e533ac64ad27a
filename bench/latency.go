package main

import (
	"context"
	"fmt"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// latency holds both servers against the same rate in an open loop and compares the times that 99 of 100 requests keep.
func (h *hot) latency(ctx context.Context, o options, r *report.Report, rate float64) error {
	var lags, subjectRates, medians []float64
	open := func(t load.Target) (load.OpenSummary, error) {
		s, err := load.Open(ctx, t, rate, openConnections, o.load)
		lags = append(lags, micros(load.Percentile(s.Lags, 0.99)))
		return s, err
	}
	p, err := alternate(ctx, o.pairs, func() (float64, error) {
		s, err := open(h.subject)
		if err != nil {
			return 0, err
		}
		subjectRates = append(subjectRates, s.PerSecond())
		medians = append(medians, micros(load.Percentile(s.Times, 0.50)))
		return micros(load.Percentile(s.Times, 0.99)), h.recorded(s.Summary)
	}, func() (float64, error) {
		s, err := open(h.baseline)
		return micros(load.Percentile(s.Times, 0.99)), err
	})
	if err != nil {
		return err
	}
	res := p.result("hot_read_p99_vs_nethttp", "us", report.RatioAtMost(2))
	res.Against = "the same bare handler at the same rate"
	res.Notes = []string{
		fmt.Sprintf("open loop of the harness at %.0f req/s, half of the bare handler's peak; times count from when a request was due", rate),
		fmt.Sprintf("the server answered %.0f req/s with a median time of %.0f us; the generator itself sent 99 of 100 requests within %.0f us of their time",
			median(subjectRates), median(medians), median(lags)),
	}
	if got := median(subjectRates); got < 0.95*rate {
		res.Notes = append(res.Notes, "the server did not keep up with the rate, so its times grow with the length of the run: read them as not in budget, not as a latency")
	}
	return r.Add(res)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
