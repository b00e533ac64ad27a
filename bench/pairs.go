package main

import (
	"context"
	"slices"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// paired is the medians of runs that alternate between a subject and its baseline. The ratio is the median of the
// ratios of neighbours, so that a machine that gets slower or faster on the way moves it least.
type paired struct{ value, baseline, ratio float64 }

// alternate runs both once to warm up, then n times in turn.
func alternate(ctx context.Context, n int, subject, baseline func() (float64, error)) (paired, error) {
	var values, baselines, ratios []float64
	for i := range n + 1 {
		v, err := subject()
		if err != nil {
			return paired{}, err
		}
		b, err := baseline()
		if err != nil {
			return paired{}, err
		}
		if err := ctx.Err(); err != nil {
			return paired{}, err
		}
		if i > 0 {
			values, baselines, ratios = append(values, v), append(baselines, b), append(ratios, v/b)
		}
	}
	return paired{median(values), median(baselines), median(ratios)}, nil
}

func (p paired) result(name, unit string, b report.Budget) report.Result {
	return report.Result{
		Name: name, Value: p.value, Unit: unit, Baseline: report.Float(p.baseline), Ratio: report.Float(p.ratio), Budget: b,
	}
}

// median of at least one number.
func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}
