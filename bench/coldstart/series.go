package main

import (
	"fmt"
	"slices"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

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
		Notes: []string{"ours " + spread(v), "hello world " + spread(base), "ratio " + spread(ratios)},
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
