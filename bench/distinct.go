package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// fillBatch is how many secrets one request of a fill asks for.
const fillBatch = 100

// distinctReads measures reads over HTTP of secrets that are all cached, in random order, with ever more of them: three
// servers side by side, so that what the machine does meanwhile falls on all alike. What is compared is the processor
// time an answer, which says more on a shared machine than the throughput.
func distinctReads(ctx context.Context, o options, r *report.Report) error {
	cloud, err := startCloud()
	if err != nil {
		return err
	}
	defer cloud.close()
	first, err := buildServer(ctx)
	if err != nil {
		return err
	}
	defer first.remove()
	var all []*cachedReads
	defer func() {
		for _, c := range all {
			c.server.kill()
		}
	}()
	for _, n := range []int{100, 10_000, distinctSecrets} {
		c := &cachedReads{n: n, server: first}
		if len(all) > 0 {
			if c.server, err = first.sibling(fmt.Sprintf("server%d", n)); err != nil {
				return err
			}
		}
		if err := c.open(ctx, cloud.url); err != nil {
			return err
		}
		all = append(all, c)
	}
	for round := range o.pairs + 1 {
		for _, c := range all {
			if err := c.run(ctx, o.load/4, round > 0); err != nil {
				return err
			}
		}
	}
	for _, c := range all {
		if err := r.Add(c.result(all[0], o)); err != nil {
			return err
		}
		if err := c.server.stop(); err != nil {
			return err
		}
	}
	return nil
}

// cachedReads is a server with n cached secrets.
type cachedReads struct {
	n      int
	server *server
	log    *auditLog
	target load.Target

	micros, perSecond []float64 // of the rounds that count
}

// open starts the server and reads each secret once.
func (c *cachedReads) open(ctx context.Context, cloud string) error {
	err := c.server.edit(map[string]string{
		"\nupstreams:\n": fmt.Sprintf("\nupstreams:\n  cloud: {type: secretsmanager, region: eu-west-1, endpoint: %q, limits: {rate: 0, concurrency: 64}}\n", cloud),
		"\nmounts:\n":    "\nmounts:\n  - {path: cloud, upstream: cloud, at: apps, cache: {soft_ttl: 1h, hard_ttl: 1h}}\n",
	}, fmt.Sprintf("cache: {entries: %d, bytes: 1GiB}\n", 2*distinctSecrets))
	if err != nil {
		return err
	}
	c.server.env = []string{"AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench"}
	if err := c.server.start(ctx); err != nil {
		return err
	}
	token, err := c.server.token("read:cloud/**")
	if err != nil {
		return err
	}
	header := "Authorization: Bearer " + token
	c.target = load.Target{URL: c.server.url + "/v1/secrets/cloud/service" + load.Number, Headers: []string{header}, Want: "X-Keyhole-Cache: hit"}
	if err := c.fill(ctx, header); err != nil {
		return err
	}
	c.log = &auditLog{path: c.server.auditFile()}
	return c.log.skip()
}

func (c *cachedReads) fill(ctx context.Context, header string) error {
	m := load.Mix{Addr: strings.TrimPrefix(c.server.url, "http://")}
	for i := 0; i < c.n; i += fillBatch {
		var body bytes.Buffer
		for j := range fillBatch {
			fmt.Fprintf(&body, `%s"cloud/service%08d"`, map[bool]string{true: `{"paths":[`, false: ","}[j == 0], i+j)
		}
		body.WriteString("]}")
		m.Requests = append(m.Requests, load.Request{Text: fmt.Appendf(nil, "POST /v1/secrets:batchGet HTTP/1.1\r\nHost: %s\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", m.Addr, header, body.Len(), body.Bytes())})
	}
	return load.MixOnce(ctx, m)
}

func (c *cachedReads) run(ctx context.Context, d time.Duration, counts bool) error {
	before := c.server.cpu()
	s, err := load.Numbered(ctx, c.target, connections, c.n, d)
	if err != nil {
		return fmt.Errorf("%d secrets: %w", c.n, err)
	}
	used := c.server.cpu() - before
	g, err := c.log.next()
	if err != nil {
		return err
	}
	if err := g.check(s.Requests, s.InFlight); err != nil {
		return err
	}
	if counts {
		c.micros = append(c.micros, micros(used)/float64(s.Requests))
		c.perSecond = append(c.perSecond, s.PerSecond())
	}
	return nil
}

func (c *cachedReads) result(few *cachedReads, o options) report.Result {
	res := report.New(fmt.Sprintf("cached_read_%d", c.n), median(c.micros), "us", report.Budget{})
	if c != few {
		ratios := make([]float64, len(c.micros))
		for i := range ratios {
			ratios[i] = c.micros[i] / few.micros[i]
		}
		res.Baseline, res.Ratio, res.Budget = report.Float(median(few.micros)), report.Float(median(ratios)), report.RatioAtMost(1.2)
		res.Against = fmt.Sprintf("the same with %d cached secrets, in a server of its own", few.n)
	}
	res.Notes = []string{fmt.Sprintf("processor time an answer over HTTP, secrets in random order, %d connections, %v a run, medians of %d rounds on %d CPUs; every answer was recorded as a hit; %.0f req/s",
		connections, o.load/4, o.pairs, runtime.NumCPU(), median(c.perSecond))}
	return res
}
