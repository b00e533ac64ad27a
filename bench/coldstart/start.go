package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

// sample is one start: milliseconds from the start of the process until it was ready and until it gave its first answer,
// and what it had used by then, in milliseconds of processor time and MB of memory.
type sample struct{ ready, first, cpu, rss float64 }

// start runs a program until it has answered its first event, which waits for it from the beginning. command is what is
// run: the program, or what becomes it.
func (p *program) start(ctx context.Context, dir, command string, env ...string) (got sample, log string, err error) {
	begun := time.Now()
	e, err := lambdaemu.Start(lambdaemu.Config{Command: command, Dir: dir, Env: append(env, p.env...), Timeout: patience})
	if err != nil {
		return sample{}, "", err
	}
	defer func() {
		e.Kill()
		log, got.cpu = e.Log(), ms(e.CPU())
	}()
	out, err := e.Invoke(ctx, p.event)
	first := time.Since(begun)
	if err != nil {
		return sample{}, "", fmt.Errorf("%s: %w: %s", p.name, err, e.Log())
	}
	if !bytes.Contains(out, []byte(p.answer)) {
		return sample{}, "", fmt.Errorf("%s answered %s: %s", p.name, out, e.Log())
	}
	ready, err := e.Ready(ctx)
	if err != nil {
		return sample{}, "", err
	}
	rss, err := resident(e.PID())
	return sample{ready: ms(ready), first: ms(first), rss: rss}, "", err
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// resident is the memory of a process, in MB of 10^6 bytes.
func resident(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for l := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(l, "VmRSS:"); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 64)
			return n * 1024 / 1e6, err
		}
	}
	return 0, errors.New("no VmRSS in /proc/PID/status")
}
