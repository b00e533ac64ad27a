package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// Lambda gives a function one processor for 1,769 MB of memory. A function of 128 MB has so many microseconds of each
// period of the scheduler.
const (
	quotaPeriod = 100_000
	quotaShare  = quotaPeriod * 128 / 1769
)

// throttledStarts measures with that share.
func throttledStarts(ctx context.Context, o options, s *setting, r *report.Report) (err error) {
	group, err := newQuota()
	if err != nil {
		return r.Skip("coldstart_*_128mb", "the share of a processor that a function of 128 MB has cannot be set: "+err.Error())
	}
	defer func() { err = errors.Join(err, group.remove()) }()
	// An extension registers under the name of its file.
	dir := filepath.Join(s.dir, "throttled")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, p := range []*program{s.hello, s.function, s.extension} {
		// The shell that enters the group becomes the program: its own start is outside of the quota, and the same for all.
		text := fmt.Sprintf("#!/bin/sh\necho $$ >%s\nexec %s\n", filepath.Join(group.dir, "cgroup.procs"), p.bin)
		if err := os.WriteFile(filepath.Join(dir, p.name), []byte(text), 0o700); err != nil {
			return err
		}
	}
	return s.compare(ctx, o.throttled, "_128mb", func(p *program) string { return filepath.Join(dir, p.name) }, r)
}

// quota is a control group with a share of a processor.
type quota struct{ dir string }

// newQuota makes it by control groups of either version.
func newQuota() (*quota, error) {
	if err := shares(); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("keyhole-coldstart-%d", os.Getpid())
	var errs []error
	for _, v := range []struct {
		root  string
		files [][2]string
	}{
		{"/sys/fs/cgroup", [][2]string{{"cpu.max", fmt.Sprintf("%d %d", quotaShare, quotaPeriod)}}},
		{"/sys/fs/cgroup/cpu", [][2]string{{"cpu.cfs_period_us", fmt.Sprint(quotaPeriod)}, {"cpu.cfs_quota_us", fmt.Sprint(quotaShare)}}},
	} {
		if _, err := os.Stat(filepath.Join(v.root, "cgroup.procs")); err != nil {
			errs = append(errs, err)
			continue
		}
		q := &quota{filepath.Join(v.root, name)}
		err := os.Mkdir(q.dir, 0o755)
		for _, f := range v.files {
			if err == nil {
				err = os.WriteFile(filepath.Join(q.dir, f[0]), []byte(f[1]), 0o644)
			}
		}
		if err == nil {
			return q, nil
		}
		errs = append(errs, err)
		_ = q.remove()
	}
	return nil, errors.Join(errs...)
}

// realTime are SCHED_FIFO, SCHED_RR and SCHED_DEADLINE of sched(7).
var realTime = []string{"1", "2", "6"}

// shares fails where this process, and so what it starts, comes before all others (chrt): no share holds such ones.
func shares() error {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	// Of proc(5) this is field 41; the name, field 2, may have spaces in it, and ends with the last parenthesis.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 39 || slices.Contains(realTime, fields[38]) {
		return errors.New("a process with a real-time priority is not held to it")
	}
	return nil
}

func (q *quota) remove() error { return os.Remove(q.dir) }
