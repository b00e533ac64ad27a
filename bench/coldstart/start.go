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

// program is one that is started: a function, or an extension beside one.
type program struct {
	name, bin string
	beside    string // the function, where the program is an extension
	dir       string // of the function's package
	env       []string
	event     []byte // the first
	answer    string // what its answer must contain
}

// sample is one start: milliseconds from the start of the process until it was ready and until the first event was
// answered, and what the process had used by then, in milliseconds of processor time and MB of memory.
type sample struct{ ready, first, cpu, rss float64 }

// start runs a program until the first event is answered, which waits from the beginning. command is what is run: the
// program, or what becomes it. A function is ready when it asks for an event, an extension when it registers.
func (p *program) start(ctx context.Context, command string, env ...string) (got sample, log string, err error) {
	c := lambdaemu.Config{Command: command, Dir: p.dir, Env: append(env, p.env...), Timeout: patience}
	if p.beside != "" {
		c.Command, c.Extensions = p.beside, []string{command}
	}
	begun := time.Now()
	e, err := lambdaemu.Start(c)
	if err != nil {
		return sample{}, "", err
	}
	pid, cpu := e.PID, e.CPU
	defer func() {
		e.Kill()
		log, got.cpu = e.Log(), ms(cpu())
	}()
	// An extension is told of an event only when it has asked for one.
	if p.beside != "" {
		if _, err := e.Ready(ctx); err != nil {
			return sample{}, "", fmt.Errorf("%s: %w: %s", p.name, err, e.Log())
		}
	}
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
	if p.beside != "" {
		x := e.Extensions()[0]
		ready, pid, cpu = x.Registered(), x.PID, x.CPU
	}
	rss, err := resident(pid())
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
