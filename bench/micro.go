package main

import (
	"context"
	"errors"
	"flag"
	"testing"
	"time"
)

// micro is two functions in a loop each. Their loops are "for b.Loop()", which keeps the compiler from leaving out what
// nobody reads.
type micro struct{ subject, baseline func(b *testing.B) error }

// measured is the median times in ns/op, and the most allocations per operation that the subject had in any run.
type measured struct {
	paired
	allocs float64
}

func (m micro) measure(ctx context.Context, o options) (measured, error) {
	if err := setBenchTime(o.micro); err != nil {
		return measured{}, err
	}
	var allocs int64
	p, err := alternate(ctx, o.pairs, func() (float64, error) {
		ns, n, err := loop(m.subject)
		allocs = max(allocs, n)
		return ns, err
	}, func() (float64, error) {
		ns, _, err := loop(m.baseline)
		return ns, err
	})
	return measured{p, float64(allocs)}, err
}

// setBenchTime reaches the one setting of package testing, which is a flag.
func setBenchTime(d time.Duration) error {
	if flag.Lookup("test.benchtime") == nil {
		testing.Init()
	}
	return flag.Set("test.benchtime", d.String())
}

var errNoLoop = errors.New("the benchmark did not run to its end")

func loop(f func(b *testing.B) error) (ns float64, allocs int64, err error) {
	r := testing.Benchmark(func(b *testing.B) { err = f(b) })
	if err != nil {
		return 0, 0, err
	}
	if r.N < 2 || r.T <= 0 {
		return 0, 0, errNoLoop
	}
	return float64(r.T.Nanoseconds()) / float64(r.N), r.AllocsPerOp(), nil
}
