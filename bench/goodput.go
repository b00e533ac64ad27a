package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// What is asked for under overload: of 100 requests 90 read one cached secret, 9 are misses and one is a write.
const (
	kindHit = iota
	kindMiss
	kindWrite

	mixLength = 100
	mixMisses = 9
	mixWrites = 1
	mixHits   = mixLength - mixMisses - mixWrites

	coldSecrets   = 512 // read in turn through a cache that holds cachedSecrets: every read is a miss
	cachedSecrets = 64
	written       = 16 // secrets that are written in turn

	overloadFactor      = 3
	leastFactor         = 2 // below it the load was no overload, and the number shows nothing
	overloadPatience    = time.Second
	overloadConnections = 4000 // the server holds 4 x max_in_flight open: more would be closed before they are heard
	peakConnections     = 64
)

// whole is the goodput that counts, in requests a second: that of whole mixes. A server that gives up misses and writes, which
// cost more, for more of the cached reads has answered no more mixes than the kind that fares worst allows.
func whole(o load.Outcome) float64 {
	mixes := min(float64(o.ByKind[kindHit])/mixHits, float64(o.ByKind[kindMiss])/mixMisses, float64(o.ByKind[kindWrite])/mixWrites)
	return mixes * mixLength / o.Elapsed.Seconds()
}

// goodput puts the server under three times the load that it can answer, and counts what it answers in time. Its limits
// are those that nobody has set: no rates, and the default of max_in_flight.
func goodput(ctx context.Context, o options, r *report.Report) (err error) {
	s, err := buildServer(ctx)
	if err != nil {
		return err
	}
	defer s.remove()
	if err := s.configure(fmt.Sprintf("cache: {entries: %d}\n", cachedSecrets)); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	defer s.kill()
	b := &overload{server: s, log: &auditLog{path: s.auditFile()}}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if _, err := b.peak(ctx, o.load); err != nil {
		return err
	}
	p, err := alternate(ctx, o.pairs,
		func() (float64, error) { return b.over(ctx, o.load) },
		func() (float64, error) { return b.peak(ctx, o.load) })
	if err != nil {
		return err
	}
	res := p.result("goodput_3x", "req/s", report.RatioAtLeast(0.80))
	offered := median(b.offered[1:])
	if offered < leastFactor {
		res.Ratio = nil
	}
	res.Against = fmt.Sprintf("the peak of the same server and mix in a closed loop of %d connections", peakConnections)
	res.Notes = b.notes(o, offered)
	if err := r.Add(res); err != nil {
		return err
	}
	if err := b.growth(r); err != nil {
		return err
	}
	return s.stop()
}

// overload is a server and what came of asking too much of it.
type overload struct {
	server   *server
	log      *auditLog
	mix      load.Mix
	capacity float64   // the highest peak so far
	offered  []float64 // what each run under overload put to the server, in times the capacity
	sum      load.Outcome
	peaks    load.Outcome
	hits     int       // cached reads among sum.Good
	memory   []float64 // the most that the server had by the end of each run, in MB
}

var errOtherMix = errors.New("the mix of cached reads and misses is not the one that is meant")

// peak measures the capacity. At it the log tells whether what should be a miss is one.
func (b *overload) peak(ctx context.Context, d time.Duration) (float64, error) {
	if err := b.log.skip(); err != nil {
		return 0, err
	}
	got, err := load.MixClosed(ctx, b.mix, peakConnections, d)
	if err != nil {
		return 0, err
	}
	g, err := b.log.next()
	if err != nil {
		return 0, err
	}
	if share := float64(g.hits) / float64(got.Good); share < 0.88 || share > 0.92 {
		return 0, fmt.Errorf("%w: %.3f of the answers are hits", errOtherMix, share)
	}
	b.capacity = max(b.capacity, got.PerSecond())
	b.peaks.Add(got)
	return whole(got), nil
}

func (b *overload) over(ctx context.Context, d time.Duration) (float64, error) {
	if err := b.log.skip(); err != nil {
		return 0, err
	}
	got, err := load.MixOpen(ctx, b.mix, overloadFactor*b.capacity, overloadConnections, overloadPatience, d)
	if err != nil {
		return 0, err
	}
	g, err := b.log.next()
	if err != nil {
		return 0, err
	}
	mb, err := b.server.memory("VmHWM")
	if err != nil && !errors.Is(err, errNoProc) {
		return 0, err
	}
	b.sum.Add(got)
	b.offered = append(b.offered, float64(got.Sent())/d.Seconds()/b.capacity)
	b.hits += g.hits
	b.memory = append(b.memory, mb)
	return whole(got), nil
}

func (b *overload) notes(o options, offered float64) []string {
	s := b.sum
	due := float64(s.Sent() + s.Unsent)
	of := func(n int) float64 { return 100 * float64(n) / due }
	pair := func(kind int) string {
		per := func(o load.Outcome) float64 { return float64(o.ByKind[kind]) / o.Elapsed.Seconds() }
		return fmt.Sprintf("%.0f and %.0f", per(b.peaks), per(s))
	}
	put := fmt.Sprintf("put to the server: %.1f times the highest peak, the median of the runs", offered)
	if offered < leastFactor {
		put += fmt.Sprintf("; less than %d times is no overload, so no ratio is reported", leastFactor)
	}
	return []string{
		put,
		fmt.Sprintf("good answers a second at the peaks and under overload: cached reads %s, misses %s, writes %s; what counts is whole mixes, so the kind that fares worst decides",
			pair(kindHit), pair(kindMiss), pair(kindWrite)),
		fmt.Sprintf("open loop of the harness at %d times the highest peak, %v a run, medians of %d pairs; of %d requests %d are misses and one is a write, the others read one cached secret; no rate limits, max_in_flight as it is by default",
			overloadFactor, o.load, o.pairs, mixLength, mixMisses),
		fmt.Sprintf("counted are answers 200 and 201 within %v of when they were due: %.1f %% of all; shed with 503: %.1f %%, late: %.1f %%, closed: %.1f %%, other: %.1f %%; not sent because all %d connections waited: %.1f %%",
			overloadPatience, of(s.Good), of(s.Shed), of(s.Late), of(s.Broken), of(s.Other), overloadConnections, of(s.Unsent)),
		fmt.Sprintf("cached reads answered, by the audit log: %d, of %d good answers", b.hits, s.Good),
	}
}

// growth reports the most memory that the server ever had against the most that it had by the middle of the runs: the
// first ones fill its caches and pools.
func (b *overload) growth(r *report.Report) error {
	if slices.Contains(b.memory, 0) {
		return nil // the system does not tell
	}
	first, last := b.memory[len(b.memory)/2-1], b.memory[len(b.memory)-1]
	return r.Add(report.Result{
		Name: "goodput_3x_rss", Value: last, Unit: "MB", Baseline: report.Float(first), Ratio: report.Float(last / first), Budget: report.RatioAtMost(1.1),
		Against: "the same server after the first half of the runs under overload; both are the most that was resident until then",
	})
}

// prepare stores the secrets and makes the requests.
func (b *overload) prepare(ctx context.Context) error {
	token, err := b.server.token("read:web/production/** write:web/production/**")
	if err != nil {
		return err
	}
	u, err := url.Parse(b.server.url)
	if err != nil {
		return err
	}
	head := func(method, name string) string {
		return fmt.Sprintf("%s /v1/secrets/web/production/%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n", method, name, u.Host, token)
	}
	get := func(name string) []byte { return []byte(head("GET", name) + "\r\n") }
	put := func(name string) []byte {
		body := `{"value":"` + strings.Repeat("s", valueBytes) + `"}`
		return fmt.Appendf(nil, "%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", head("PUT", name), len(body), body)
	}
	cold := func(i int) string { return fmt.Sprintf("COLD_%d", i%coldSecrets) }

	seed := load.Mix{Addr: u.Host, Requests: []load.Request{{Kind: kindWrite, Text: put("HOT")}}}
	for i := range coldSecrets {
		seed.Requests = append(seed.Requests, load.Request{Kind: kindWrite, Text: put(cold(i))})
	}
	if err := load.MixOnce(ctx, seed); err != nil {
		return err
	}
	b.mix.Addr = u.Host
	hot, misses := load.Request{Kind: kindHit, Text: get("HOT")}, 0
	for i := range coldSecrets * mixLength / mixMisses {
		next := hot
		switch at := i % mixLength; {
		case at == 0:
			next = load.Request{Kind: kindWrite, Text: put(fmt.Sprintf("WRITTEN_%d", i/mixLength%written))}
		case at%10 == 0: // mixMisses of mixLength
			next = load.Request{Kind: kindMiss, Text: get(cold(misses))}
			misses++
		}
		b.mix.Requests = append(b.mix.Requests, next)
	}
	return nil
}
