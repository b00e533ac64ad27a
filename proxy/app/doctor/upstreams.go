package doctor

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// checkupTime bounds what one upstream may take. All are asked at the same time.
const checkupTime = 10 * time.Second

// upstreams asks every vault across a network whether it would serve us. Vaults in files are looked at with their keys.
func upstreams(ctx context.Context, p *patient) []Finding {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(p.Upstreams)) {
		if u := p.Upstreams[name]; u.Embedded == nil && p.set.Drivers.Upstreams[u.Type] != nil {
			names = append(names, name)
		}
	}
	all := make([][]Finding, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { all[i] = p.upstream(ctx, name) })
	}
	wg.Wait()
	return slices.Concat(all...)
}

func (p *patient) upstream(ctx context.Context, name string) []Finding {
	where := "upstreams." + name
	u := p.Upstreams[name]
	opened, err := p.set.Drivers.Upstreams[u.Type](app.Env{Config: p.Config, Getenv: p.set.Getenv, Wall: p.set.Wall, Logger: slog.New(slog.DiscardHandler)}, u)
	if err != nil {
		return []Finding{fail(err.Error(), where, "correct the configuration, or what it refers to")}
	}
	defer func() { _ = opened.Close() }()
	checker, can := opened.(secret.Checker)
	if !can {
		return []Finding{ok("not looked at: a "+u.Type+" cannot be asked", where)}
	}
	ctx, cancel := context.WithTimeout(ctx, checkupTime)
	defer cancel()
	before := p.set.Wall()
	got := checker.Checkup(ctx, p.places(name))
	found := skew(before, p.set.Wall(), got.Time, where)
	for _, t := range got.Troubles {
		f := fail(t.What, where+"."+t.Where, t.Fix)
		if t.Minor {
			f.Status = Warn
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		found = append(found, ok(strings.Join(got.Good, "; "), where))
	}
	return found
}

// places are where the mounts of an upstream begin.
func (p *patient) places(upstream string) []secret.Place {
	var all []secret.Place
	for _, m := range p.Mounts {
		if place := (secret.Place{At: m.At, Itself: m.Layout == "fields"}); m.Upstream == upstream && !slices.Contains(all, place) {
			all = append(all, place)
		}
	}
	slices.SortFunc(all, func(a, b secret.Place) int { return strings.Compare(a.At, b.At) })
	return all
}
