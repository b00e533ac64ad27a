package load

import (
	"bytes"
	"context"
	_ "embed" // for the script
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// ErrNoWrk means that wrk is not installed: use Closed, and say so beside the number.
var ErrNoWrk = errors.New("wrk is not installed")

//go:embed wrk.lua
var wrkScript []byte

// Wrk is Closed by wrk, with one thread. The requests that its end cuts off are in InFlight. wrk does not look at
// headers, so nobody holds t.Want against the answers: the caller must know another way.
func Wrk(ctx context.Context, t Target, conns int, d time.Duration) (Summary, error) {
	wrk, err := exec.LookPath("wrk")
	if err != nil {
		return Summary{}, ErrNoWrk
	}
	dir, err := os.MkdirTemp("", "keyhole-wrk-")
	if err != nil {
		return Summary{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	script := filepath.Join(dir, "counts.lua")
	if err := os.WriteFile(script, wrkScript, 0o600); err != nil {
		return Summary{}, err
	}
	args := []string{"-t1", fmt.Sprintf("-c%d", conns), fmt.Sprintf("-d%ds", max(1, int(d.Seconds()))), "-s", script}
	for _, h := range t.Headers {
		args = append(args, "-H", h)
	}
	out, err := exec.CommandContext(ctx, wrk, append(args, t.URL)...).CombinedOutput()
	if err != nil {
		return Summary{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseCounts(out, conns)
}

func parseCounts(out []byte, conns int) (Summary, error) {
	var s Summary
	var micros int64
	var failed int
	_, line, _ := bytes.Cut(out, []byte("counts "))
	if _, err := fmt.Sscan(string(line), &s.Requests, &s.Bytes, &micros, &failed); err != nil || micros <= 0 || s.Requests == 0 {
		return s, fmt.Errorf("wrk gave no counts: %s", out)
	}
	if failed > 0 {
		return s, fmt.Errorf("%w: wrk counts %d errors: %s", ErrAnswer, failed, out)
	}
	s.Elapsed, s.InFlight = time.Duration(micros)*time.Microsecond, conns
	return s, nil
}
