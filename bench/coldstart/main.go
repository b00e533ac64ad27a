// Coldstart measures how long the function takes from the start of its process until it asks for its first event, and
// until it has answered the first one with a secret. Beside it stands the least function that there is, built in the same
// run by the same tools, and started in turn with it on the same emulator of Lambda. It prints a table, and leaves the
// same in bench/results/coldstart.jsonl.
//
// A number that does not meet its budget is printed as such and is no failure; a start that did not do what it is
// measured for is one, and ends the run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

const resultsDir = "bench/results"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "coldstart:", err)
		os.Exit(1)
	}
}

// options say how often to measure.
type options struct {
	pairs     int // of starts, with all processors
	throttled int // the same, with the share of one that a small function has
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("coldstart", flag.ContinueOnError)
	short := flags.Bool("short", os.Getenv("BENCH_SHORT") != "", "fewer pairs, whose numbers are only good for a look (BENCH_SHORT)")
	pairs := flags.Int("pairs", 0, "pairs of starts, instead of 50 and 30")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if _, err := os.Stat("functions/lambda"); err != nil {
		return errors.New("run this from the root of the repository: make bench-coldstart")
	}
	o := options{pairs: 50, throttled: 30}
	if *short {
		o = options{pairs: 7, throttled: 3}
	}
	if *pairs > 0 {
		o = options{pairs: *pairs, throttled: *pairs}
	}
	r, err := report.Open(os.Stdout, resultsDir, "coldstart", report.ThisMachine("github.com/aws/aws-lambda-go", "github.com/tetratelabs/wazero"))
	if err != nil {
		return err
	}
	return errors.Join(measure(ctx, o, r), r.Close())
}

func measure(ctx context.Context, o options, r *report.Report) (err error) {
	s, err := newSetting(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, step := range []func(context.Context, options, *setting, *report.Report) error{sizes, inits, starts, throttledStarts} {
		if err := step(ctx, o, s, r); err != nil {
			return err
		}
	}
	return nil
}
