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
		slices.SortFunc(own, func(a, b initialised) int { return cmp.Compare(b.clock, a.clock) })
		for _, i := range own[:min(8, len(own))] {
			res.Notes = append(res.Notes, fmt.Sprintf("%s %.3f ms, %d bytes, %d allocations", i.pkg, i.clock, i.bytes, i.allocs))
		}
		if err := r.Add(res); err != nil {
			return err
		}
	}
	return nil
}

func clock(all []initialised) (sum float64) {
	for _, i := range all {
		sum += i.clock
	}
	return sum
}

// trace is the packages of a program with the median of their times over some starts.
func (p *program) trace(ctx context.Context) ([]initialised, error) {
	clocks := map[string][]float64{}
	var last []initialised
	for range tracedStarts {
		// An extension is given a function that does not trace: both write to one log.
		_, log, err := p.start(ctx, p.bin, "GODEBUG=inittrace=1")
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
