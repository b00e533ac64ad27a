package main

import (
	"context"
	"math/rand/v2"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// The budgets of a start: at most so much more than hello world, and at most so many times its time; and of an extension's
// memory, in MB.
const (
	maxReadyAbove   = 5 // milliseconds
	maxReadyRatio   = 1.5
	maxExtensionRSS = 25
)

// starts measures with all processors of the machine.
func starts(ctx context.Context, o options, s *setting, r *report.Report) error {
	return s.compare(ctx, o.pairs, "", func(p *program) string { return p.bin }, r)
}

// compare starts hello world, the function and the extension in turn, n times each after one start that counts for
// nothing. Which comes first is left to chance, so that none always finds what another has left in the caches.
func (s *setting) compare(ctx context.Context, n int, suffix string, command func(*program) string, r *report.Report) error {
	samples := map[*program][]sample{}
	for i := range n + 1 {
		programs := []*program{s.hello, s.function, s.extension}
		rand.Shuffle(len(programs), func(i, j int) { programs[i], programs[j] = programs[j], programs[i] })
		for _, p := range programs {
			got, _, err := p.start(ctx, command(p))
			if err != nil {
				return err
			}
			if i > 0 {
				samples[p] = append(samples[p], got)
			}
		}
	}
	for _, p := range []*program{s.function, s.extension} {
		name, ratio, above, memory := "coldstart_", report.RatioAtMost(maxReadyRatio), report.ValueAtMost(maxReadyAbove), report.Budget{}
		if p == s.extension {
			name, memory = "coldstart_extension_", report.ValueAtMost(maxExtensionRSS)
		}
		if suffix != "" { // the budgets are of whole processors
			ratio, above = report.Budget{}, report.Budget{}
		}
		of := func(f func(sample) float64) series { return series{samples[p], samples[s.hello], f} }
		ready, first := of(func(s sample) float64 { return s.ready }), of(func(s sample) float64 { return s.first })
		results := []report.Result{
			ready.ratio(name+"ready_vs_hello"+suffix, "ms", ratio),
			ready.above(name+"ready_above_hello"+suffix, "ms", above),
			first.ratio(name+"first_secret_vs_hello"+suffix, "ms", report.Budget{}),
			of(func(s sample) float64 { return s.cpu }).ratio(name+"cpu_vs_hello"+suffix, "ms", report.Budget{}),
		}
		if suffix == "" {
			results = append(results, of(func(s sample) float64 { return s.rss }).ratio("rss_"+p.name, "MB", memory))
		}
		for _, res := range results {
			if err := r.Add(res); err != nil {
				return err
			}
		}
	}
	return nil
}
