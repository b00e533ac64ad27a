package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// budgetFile holds the most bytes that a stripped binary may have.
const budgetFile = "functions/budget"

// build makes a program as it is built for Lambda, for this machine. The machine code of the policies is what
// make policies-native left. The file is then written once more, as one that is unpacked is: what the linker leaves in the
// cache of files is in pieces, which makes a start of a large program up to a millisecond slower.
func build(ctx context.Context, out, pkg string) error {
	linked := out + ".linked"
	if text, err := exec.CommandContext(ctx, "scripts/build-function", linked, pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", pkg, err, text)
	}
	program, err := os.ReadFile(linked)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(out, program, 0o700), os.Remove(linked))
}

// sizes reports how large the programs are.
func sizes(_ context.Context, _ options, s *setting, r *report.Report) error {
	text, err := os.ReadFile(budgetFile)
	if err != nil {
		return err
	}
	most, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		return fmt.Errorf("%s: %w", budgetFile, err)
	}
	least, err := os.Stat(s.hello.bin)
	if err != nil {
		return err
	}
	for _, p := range []*program{s.function, s.extension} {
		info, err := os.Stat(p.bin)
		if err != nil {
			return err
		}
		res := report.New("binary_bytes_"+p.name, float64(info.Size()), "bytes", report.ValueAtMost(most))
		res.Baseline, res.Ratio = report.Float(float64(least.Size())), report.Float(float64(info.Size())/float64(least.Size()))
		res.Against = "hello world of the same flags"
		if err := r.Add(res); err != nil {
			return err
		}
	}
	return nil
}
