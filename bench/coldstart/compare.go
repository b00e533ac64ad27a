package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// The budget of a start: at most so much more than hello world, and at most so many times its time.
const (
	maxReadyAbove = 5 // milliseconds
	maxReadyRatio = 1.5
)

// starts measures with all processors of the machine.
func starts(ctx context.Context, o options, s *setting, r *report.Report) error {
	return s.compare(ctx, o.pairs, "", func(p *program) string { return p.bin }, r)
}

// compare starts the function and hello world in turn, n times each after one start that counts for nothing. Which of
// the two is first is left to chance, so that neither always finds what the other has left in the caches.
func (s *setting) compare(ctx context.Context, n int, suffix string, command func(*program) string, r *report.Report) error {
	samples := map[*program][]sample{}
	for i := range n + 1 {
		pair := []*program{s.hello, s.function}
		if rand.IntN(2) == 0 {
			slices.Reverse(pair)
		}
		for _, p := range pair {
			got, _, err := p.start(ctx, s.dir, command(p))
			if err != nil {
				return err
			}
			if i > 0 {
				samples[p] = append(samples[p], got)
			}
		}
	}
	ready := series{samples[s.function], samples[s.hello], func(s sample) float64 { return s.ready }}
	first := series{samples[s.function], samples[s.hello], func(s sample) float64 { return s.first }}
	cpu := series{samples[s.function], samples[s.hello], func(s sample) float64 { return s.cpu }}
	rss := series{samples[s.function], samples[s.hello], func(s sample) float64 { return s.rss }}
	results := []report.Result{
		ready.ratio("coldstart_ready_vs_hello"+suffix, "ms", report.RatioAtMost(maxReadyRatio)),
		ready.above("coldstart_ready_above_hello"+suffix, "ms", report.ValueAtMost(maxReadyAbove)),
		first.ratio("coldstart_first_secret_vs_hello"+suffix, "ms", report.Budget{}),
		first.above("coldstart_first_secret_above_hello"+suffix, "ms", report.Budget{}),
	}
	if suffix == "" {
		results = append(results, cpu.ratio("coldstart_cpu_vs_hello", "ms", report.Budget{}), rss.ratio("rss_function", "MB", report.Budget{}))
	}
	for _, res := range results {
		if err := r.Add(res); err != nil {
			return err
		}
	}
	return nil
}

// series is one number of samples that were taken in pairs.
type series struct {
	subject, baseline []sample
	of                func(sample) float64
}

func (s series) numbers(f func(subject, baseline float64) float64) []float64 {
	out := make([]float64, len(s.subject))
	for i := range out {
		out[i] = f(s.of(s.subject[i]), s.of(s.baseline[i]))
	}
	slices.Sort(out)
	return out
}

func subject(v, _ float64) float64  { return v }
func baseline(_, b float64) float64 { return b }

// ratio is the medians of both, and that of the ratios of pairs.
func (s series) ratio(name, unit string, b report.Budget) report.Result {
	v, base, ratios := s.numbers(subject), s.numbers(baseline), s.numbers(func(v, b float64) float64 { return v / b })
	return report.Result{
		Name: name, Value: quantile(v, 0.5), Unit: unit, Baseline: report.Float(quantile(base, 0.5)), Ratio: report.Float(quantile(ratios, 0.5)),
		Budget: b, Against: fmt.Sprintf("hello world, %d pairs", len(v)),
		Notes: []string{"function " + spread(v), "hello world " + spread(base), "ratio " + spread(ratios)},
	}
}

// above is the median of what the subject has more in a pair.
func (s series) above(name, unit string, b report.Budget) report.Result {
	more := s.numbers(func(v, b float64) float64 { return v - b })
	res := report.New(name, quantile(more, 0.5), unit, b)
	res.Notes = []string{spread(more)}
	return res
}

func spread(sorted []float64) string {
	q := func(f float64) float64 { return quantile(sorted, f) }
	return fmt.Sprintf("p10 %.2f, p25 %.2f, p50 %.2f, p75 %.2f, p90 %.2f", q(0.1), q(0.25), q(0.5), q(0.75), q(0.9))
}

// quantile of at least one number, between neighbours where it falls there.
func quantile(sorted []float64, f float64) float64 {
	at := f * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
