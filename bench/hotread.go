package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// connections of the closed loop, as in wrk -t1 -c16. The open loop has more, so that requests wait in the server that
// is measured rather than in the generator.
const (
	connections     = 16
	openConnections = 64
)

// hotRead measures one cached secret, read over and over with one token: verified, decided by the policy, and recorded
// every time, by the real server in a process of its own.
func hotRead(ctx context.Context, o options, r *report.Report) (err error) {
	s, err := buildServer(ctx)
	if err != nil {
		return err
	}
	defer s.remove()
	if err := idleMemory(ctx, o, r, s); err != nil {
		return err
	}
	h, err := openHot(ctx, s)
	if err != nil {
		return err
	}
	defer h.kill()
	peak, err := h.throughput(ctx, o, r)
	if err != nil {
		return err
	}
	if err := h.latency(ctx, o, r, peak/2); err != nil {
		return err
	}
	return errors.Join(h.server.stop(), h.bare.stop())
}

// idleMemory starts the server several times. It leaves a secret behind.
func idleMemory(ctx context.Context, o options, r *report.Report, s *server) error {
	var all []float64
	for range o.pairs {
		if err := s.start(ctx); err != nil {
			return err
		}
		mb, err := s.rss(o.idle)
		if err == nil && len(all) == 0 {
			err = s.seed(ctx)
		}
		if errors.Is(err, errNoProc) {
			s.kill()
			return err
		}
		if err := errors.Join(err, s.stop()); err != nil {
			s.kill()
			return err
		}
		all = append(all, mb)
	}
	return r.Add(report.New("rss_server", median(all), "MB", report.ValueAtMost(40)))
}

// hot is the server, warm, and its baseline.
type hot struct {
	server   *server
	bare     *bareServer
	log      *auditLog
	subject  load.Target
	baseline load.Target
	closed   func(context.Context, load.Target, int, time.Duration) (load.Summary, error)
	tool     string // what closed is
}

func openHot(ctx context.Context, s *server) (_ *hot, err error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	h := &hot{server: s, log: &auditLog{path: s.auditFile()}, closed: load.Wrk, tool: "wrk -t1 -c16"}
	defer func() {
		if err != nil {
			h.kill()
		}
	}()
	if _, err := exec.LookPath("wrk"); err != nil {
		h.closed, h.tool = load.Closed, "a closed loop of the harness with 16 connections, since wrk is not installed (make deps): numbers of wrk are higher"
	}
	token, err := s.token(benchScope)
	if err != nil {
		return nil, err
	}
	h.subject = load.Target{URL: s.url + "/v1/secrets/" + benchPath, Headers: []string{"Authorization: Bearer " + token}, Want: "X-Keyhole-Cache: hit"}
	sample, err := warmAnswer(ctx, h.subject)
	if err != nil {
		return nil, err
	}
	if h.bare, err = startBare(ctx, sample); err != nil {
		return nil, err
	}
	h.baseline = h.subject
	h.baseline.URL = h.bare.url + "/v1/secrets/" + benchPath
	if err := sameAnswers(ctx, h.subject, h.baseline); err != nil {
		return nil, err
	}
	return h, h.log.skip()
}

func (h *hot) kill() {
	h.server.kill()
	if h.bare != nil {
		h.bare.kill()
	}
}

// run is a closed loop against one of the two. It adds to what the answers cost.
func (h *hot) run(ctx context.Context, c *child, t load.Target, d time.Duration, all *cost) (load.Summary, error) {
	before := c.cpu()
	s, err := h.closed(ctx, t, connections, d)
	all.answers += s.Requests
	all.bytes += s.Bytes
	all.cpu += c.cpu() - before
	return s, err
}

// cost is what answers took of what does not depend on who else uses the machine.
type cost struct {
	answers int
	bytes   int64
	cpu     time.Duration
}

func (c cost) perAnswer() (bytes, cpuMicros float64) {
	return float64(c.bytes) / float64(c.answers), micros(c.cpu) / float64(c.answers)
}

// throughput returns the peak of the baseline.
func (h *hot) throughput(ctx context.Context, o options, r *report.Report) (peak float64, err error) {
	var ours, theirs cost
	p, err := alternate(ctx, o.pairs, func() (float64, error) {
		s, err := h.run(ctx, h.server.child, h.subject, o.load, &ours)
		if err != nil {
			return 0, err
		}
		return s.PerSecond(), h.recorded(s)
	}, func() (float64, error) {
		s, err := h.run(ctx, h.bare.child, h.baseline, o.load, &theirs)
		return s.PerSecond(), err
	})
	if err != nil {
		return 0, err
	}
	size, cpu := ours.perAnswer()
	bareSize, bareCPU := theirs.perAnswer()
	// Only the digits of the age may differ.
	if d := size / bareSize; d < 0.98 || d > 1.02 {
		return 0, fmt.Errorf("%w: %.1f bytes and %.1f", errDifferent, size, bareSize)
	}
	res := p.result("hot_read_vs_nethttp", "req/s", report.RatioAtLeast(0.70))
	res.Against = "a bare net/http handler in a process of its own that gives the same status, headers and body"
	res.Notes = []string{
		fmt.Sprintf("load by %s, %v a run, medians of %d pairs; load and servers share %d CPUs", h.tool, o.load, o.pairs, runtime.NumCPU()),
		fmt.Sprintf("every answer was recorded as a hit with status 200; %.0f bytes an answer, %.0f by the baseline", size, bareSize),
		fmt.Sprintf("processor time an answer: %.1f us, %.1f us by the baseline", cpu, bareCPU),
	}
	return p.baseline, r.Add(res)
}

func (h *hot) recorded(s load.Summary) error {
	g, err := h.log.next()
	if err != nil {
		return err
	}
	return g.check(s.Requests, s.InFlight)
}
