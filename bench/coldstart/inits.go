package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// tracedStarts is how often the initialisation of packages is traced: its clock is coarse.
const tracedStarts = 7

// inits reports what the packages of the programs do before main begins.
func inits(ctx context.Context, _ options, s *setting, r *report.Report) error {
	hello, err := s.hello.trace(ctx)
	if err != nil {
		return err
	}
	for _, p := range []*program{s.function, s.extension} {
		own, err := p.trace(ctx)
		if err != nil {
			return err
		}
		res := report.Result{
			Name: "init_packages_" + p.name, Value: clock(own), Unit: "ms", Baseline: report.Float(clock(hello)),
			Ratio: report.Float(clock(own) / clock(hello)), Against: "hello world, GODEBUG=inittrace=1",
		}
		slices.SortFunc(own, func(a, b proxytest.Init) int { return cmp.Compare(b.Clock, a.Clock) })
		for _, i := range own[:min(8, len(own))] {
			res.Notes = append(res.Notes, fmt.Sprintf("%s %.3f ms, %d bytes, %d allocations", i.Package, i.Clock, i.Bytes, i.Allocs))
		}
		if err := r.Add(res); err != nil {
			return err
		}
	}
	return nil
}

func clock(all []proxytest.Init) (sum float64) {
	for _, i := range all {
		sum += i.Clock
	}
	return sum
}

// trace is the packages of a program with the median of their times over some starts.
func (p *program) trace(ctx context.Context) ([]proxytest.Init, error) {
	clocks := map[string][]float64{}
	var last []proxytest.Init
	for range tracedStarts {
		_, log, err := p.start(ctx, p.bin, "GODEBUG=inittrace=1")
		if err != nil {
			return nil, err
		}
		last = proxytest.ParseInits(log)
		for _, i := range last {
			clocks[i.Package] = append(clocks[i.Package], i.Clock)
		}
	}
	if len(last) == 0 {
		return nil, fmt.Errorf("%s: the runtime has traced no package", p.name)
	}
	for i := range last {
		last[i].Clock = quantile(slices.Sorted(slices.Values(clocks[last[i].Package])), 0.5)
	}
	return last, nil
}
