package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// maxBinary is the budget of a stripped binary, in bytes: 12 MB.
const maxBinary = 12e6

// build makes a program as scripts/lambda does, for this machine. The machine code of the policies is what
// make policies-native left.
func build(ctx context.Context, out, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "lambda.norpc", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", pkg, err, text)
	}
	return nil
}

// sizes reports how large the programs are.
func sizes(_ context.Context, _ options, s *setting, r *report.Report) error {
	least, err := os.Stat(s.hello.bin)
	if err != nil {
		return err
	}
	for _, p := range []*program{s.function} {
		info, err := os.Stat(p.bin)
		if err != nil {
			return err
		}
		res := report.New("binary_bytes_"+p.name, float64(info.Size()), "bytes", report.ValueAtMost(maxBinary))
		res.Baseline, res.Ratio = report.Float(float64(least.Size())), report.Float(float64(info.Size())/float64(least.Size()))
		res.Against = "hello world of the same flags"
		if err := r.Add(res); err != nil {
			return err
		}
	}
	return nil
}
