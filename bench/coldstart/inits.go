package main

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// tracedStarts is how often the initialisation of packages is traced: its clock is coarse.
const tracedStarts = 7

// initLine is what the runtime says of each package under GODEBUG=inittrace=1.
var initLine = regexp.MustCompile(`^init (\S+) @\S+ ms, (\S+) ms clock, (\d+) bytes, (\d+) allocs$`)

// initialised is what one package did before main.
type initialised struct {
	pkg           string
	clock         float64 // milliseconds
	bytes, allocs int
}

// inits reports what the packages of both programs do before main begins.
func inits(ctx context.Context, _ options, s *setting, r *report.Report) error {
	function, err := s.trace(ctx, s.function)
	if err != nil {
		return err
	}
	hello, err := s.trace(ctx, s.hello)
	if err != nil {
		return err
	}
	sum := func(all []initialised) (clock float64) {
		for _, p := range all {
			clock += p.clock
		}
		return clock
	}
	res := report.Result{
		Name: "init_packages_function", Value: sum(function), Unit: "ms", Baseline: report.Float(sum(hello)),
		Ratio: report.Float(sum(function) / sum(hello)), Against: "hello world, GODEBUG=inittrace=1",
	}
	slices.SortFunc(function, func(a, b initialised) int { return cmp.Compare(b.clock, a.clock) })
	for _, p := range function[:min(8, len(function))] {
		res.Notes = append(res.Notes, fmt.Sprintf("%s %.3f ms, %d bytes, %d allocations", p.pkg, p.clock, p.bytes, p.allocs))
	}
	return r.Add(res)
}

// trace is the packages with the median of their times over some starts.
func (s *setting) trace(ctx context.Context, p *program) ([]initialised, error) {
	clocks := map[string][]float64{}
	var last []initialised
	for range tracedStarts {
		_, log, err := p.start(ctx, s.dir, p.bin, "GODEBUG=inittrace=1")
		if err != nil {
			return nil, err
		}
		last = parseInits(log)
		for _, i := range last {
			clocks[i.pkg] = append(clocks[i.pkg], i.clock)
		}
	}
	if len(last) == 0 {
		return nil, fmt.Errorf("%s: the runtime has traced no package", p.name)
	}
	for i := range last {
		last[i].clock = quantile(slices.Sorted(slices.Values(clocks[last[i].pkg])), 0.5)
	}
	return last, nil
}

func parseInits(log string) []initialised {
	var out []initialised
	for line := range strings.Lines(log) {
		m := initLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		p := initialised{pkg: m[1]}
		p.clock, _ = strconv.ParseFloat(m[2], 64)
		p.bytes, _ = strconv.Atoi(m[3])
		p.allocs, _ = strconv.Atoi(m[4])
		out = append(out, p)
	}
	return out
}
