package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// upstreamReads measures reads of secrets that are in a real OpenBao: the same ones asked of OpenBao and of Keyhole,
// cached and not, and how often OpenBao is asked when ten thousand want the same one at once.
func upstreamReads(ctx context.Context, o options, r *report.Report) error {
	vault, err := startBao(ctx)
	if errors.Is(err, errNoBao) {
		return r.Skip("upstream_hit_vs_openbao, upstream_miss_vs_openbao, herd_10000_upstream_calls", err.Error())
	}
	if err != nil {
		return err
	}
	defer vault.kill()
	gate, err := openGate(vault.url)
	if err != nil {
		return err
	}
	defer gate.close()
	s, err := buildServer(ctx)
	if err != nil {
		return err
	}
	defer s.remove()
	if err := s.before(vault.url, gate.url); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	defer s.kill()
	token, err := s.token("read:bao/** read:herd/**")
	if err != nil {
		return err
	}
	u := &upstreamBench{vault: vault, server: s, log: &auditLog{path: s.auditFile()}, header: "Authorization: Bearer " + token}
	for _, measure := range []func(context.Context, options, *report.Report) error{u.hits, u.misses} {
		if err := measure(ctx, o, r); err != nil {
			return err
		}
	}
	if err := u.herd(ctx, r, gate); err != nil {
		return err
	}
	return s.stop()
}

// before puts the server before the vault, directly and through the gate.
func (s *server) before(direct, gate string) error {
	if err := os.WriteFile(filepath.Join(s.dir, "keys", "bao-token"), []byte(baoToken), 0o600); err != nil {
		return err
	}
	const upstream = "  %s: {type: vault, address: %q, kv: {mount: secret}, auth: {method: token, token: \"file:keys/bao-token\"}, limits: {rate: 0}}\n"
	const mount = "  - {path: %s, upstream: %s, at: bench, cache: {soft_ttl: 1h, hard_ttl: 1h}}\n"
	return s.edit(map[string]string{
		"\nupstreams:\n": "\nupstreams:\n" + fmt.Sprintf(upstream, "bao", direct) + fmt.Sprintf(upstream, "gated", gate),
		"\nmounts:\n":    "\nmounts:\n" + fmt.Sprintf(mount, "bao", "bao") + fmt.Sprintf(mount, "herd", "gated"),
		// Each listener has its share of the descriptors, and the whole herd comes to one.
		`admin: "127.0.0.1:0"`: `admin: ""`,
	}, fmt.Sprintf("limits: {max_in_flight: %d}\n", 2*herdSize))
}

type upstreamBench struct {
	vault  *bao
	server *server
	log    *auditLog
	header string
}

func (u *upstreamBench) target(path string) load.Target {
	return load.Target{URL: u.server.url + "/v1/secrets/" + path, Headers: []string{u.header}}
}

// hits reads one secret over and over, from the cache of Keyhole and from OpenBao.
func (u *upstreamBench) hits(ctx context.Context, o options, r *report.Report) error {
	if err := u.vault.put(ctx, "bench/hot"); err != nil {
		return err
	}
	subject, baseline := u.target("bao/hot"), u.vault.target("bench/hot")
	subject.Want = "X-Keyhole-Cache: hit"
	if _, err := warmAnswer(ctx, subject); err != nil {
		return err
	}
	if err := u.log.skip(); err != nil {
		return err
	}
	closed, tool := load.Wrk, "wrk -t1 -c16"
	if _, err := exec.LookPath("wrk"); err != nil {
		closed, tool = load.Closed, "a closed loop of the harness with 16 connections, since wrk is not installed (make deps)"
	}
	p, err := alternate(ctx, o.pairs, func() (float64, error) {
		s, err := closed(ctx, subject, connections, o.load)
		if err != nil {
			return 0, err
		}
		g, err := u.log.next()
		if err != nil {
			return 0, err
		}
		return s.PerSecond(), g.check(s.Requests, s.InFlight)
	}, func() (float64, error) {
		s, err := closed(ctx, baseline, connections, o.load)
		return s.PerSecond(), err
	})
	if err != nil {
		return err
	}
	res := p.result("upstream_hit_vs_openbao", "req/s", report.RatioAtLeast(1))
	res.Against = "the same secret read from OpenBao itself (KV version 2, in memory, no audit device, root token); each answers in its own format"
	res.Notes = []string{fmt.Sprintf("load by %s, %v a run, medians of %d pairs; load and servers share %d CPUs; every answer of Keyhole was recorded as a hit with status 200", tool, o.load, o.pairs, runtime.NumCPU())}
	return r.Add(res)
}

// missesRead is how many secrets a run reads that the cache has never seen.
const missesRead = 200

// misses reads secrets one after the other that are read for the first time.
func (u *upstreamBench) misses(ctx context.Context, o options, r *report.Report) error {
	for i := range (o.pairs + 1) * missesRead {
		if err := u.vault.put(ctx, fmt.Sprintf("bench/cold%d", i)); err != nil {
			return err
		}
	}
	next := [2]int{}
	each := func(side int, target func(i int) load.Target, want string) func() (float64, error) {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableCompression: true}}
		return func() (float64, error) {
			start := time.Now()
			for range missesRead {
				h, err := get(ctx, client, target(next[side]))
				if err != nil {
					return 0, err
				}
				if got := h.Get("X-Keyhole-Cache"); got != want {
					return 0, fmt.Errorf("a read is %q, not %q", got, want)
				}
				next[side]++
			}
			return micros(time.Since(start)) / missesRead, nil
		}
	}
	p, err := alternate(ctx, o.pairs,
		each(0, func(i int) load.Target { return u.target(fmt.Sprintf("bao/cold%d", i)) }, "miss"),
		each(1, func(i int) load.Target { return u.vault.target(fmt.Sprintf("bench/cold%d", i)) }, ""))
	if err != nil {
		return err
	}
	res := p.result("upstream_miss_vs_openbao", "us", report.Budget{})
	res.Against = "the same secrets read from OpenBao itself"
	res.Notes = []string{fmt.Sprintf("one read after the other over one connection, %d a run, each the first of its secret, so that Keyhole asks OpenBao; times are means of a run", missesRead)}
	return r.Add(res)
}
