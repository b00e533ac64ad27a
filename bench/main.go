// Bench measures Keyhole against its budgets, each number beside a baseline from the same run on the same machine: the
// ratios are what can be compared between machines. It prints a table, and leaves the same in bench/results/bench.jsonl.
//
// A number that does not meet its budget is printed as such and is no failure; a benchmark that finds that it did not
// measure what it says is one, and ends the run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

const resultsDir = "bench/results"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options say how long and how often to measure.
type options struct {
	pairs int           // of a subject and its baseline; the medians are reported
	load  time.Duration // of one run under load
	micro time.Duration // of one run of a function
	idle  time.Duration // before the memory of an idle server is read
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	short := flags.Bool("short", os.Getenv("BENCH_SHORT") != "", "shorter runs, whose numbers are only good for a look (BENCH_SHORT)")
	only := flags.String("run", "", "regular expression: only the groups whose name matches (hot_read, goodput, policy, policy_load, token, platform, exchange, audit, cache, distinct, memory, upstream)")
	bare := flags.Bool("bare", false, "be the bare handler: the harness runs itself this way")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *bare {
		return serveBare(ctx, in, out)
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if _, err := os.Stat("cmd/keyhole"); err != nil {
		return errors.New("run this from the root of the repository: make bench")
	}
	o := options{pairs: 5, load: 3 * time.Second, micro: 200 * time.Millisecond, idle: time.Second}
	if *short {
		o.load, o.micro, o.idle = time.Second, 50*time.Millisecond, 200*time.Millisecond
	}
	r, err := report.Open(out, resultsDir, "bench", report.ThisMachine("github.com/tetratelabs/wazero"))
	if err != nil {
		return err
	}
	err = measure(ctx, o, match, r)
	return errors.Join(err, r.Close())
}

// group is benchmarks that share a set-up.
type group struct {
	name string
	run  func(context.Context, options, *report.Report) error
}

func measure(ctx context.Context, o options, match *regexp.Regexp, r *report.Report) error {
	groups := []group{{"hot_read", hotRead}, {"goodput", goodput}, {"policy", policyDecisions}, {"policy_load", policyLoad}, {"token", tokens}, {"platform", platformTokens}, {"exchange", exchanges}, {"audit", audits}, {"cache", cacheHits}, {"distinct", distinctReads}, {"memory", cachedMemory}, {"upstream", upstreamReads}}
	ran := 0
	for _, g := range groups {
		if !match.MatchString(g.name) {
			continue
		}
		ran++
		if err := g.run(ctx, o, r); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	if ran == 0 {
		return errors.New("-run matches no group")
	}
	return nil
}
