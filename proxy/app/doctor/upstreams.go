package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// checkupTime bounds what one upstream may take. All are asked at the same time.
const checkupTime = 10 * time.Second

// visit is an upstream as a server opens it: by itself, and once for each role that mounts assume.
type visit struct {
	name   string
	role   *config.AssumeRole // nil where it is opened by itself
	mount  int                // first mount with that role
	places []secret.Place     // where its mounts begin
}

// upstreams asks every vault across a network whether it would serve us. Vaults in files are looked at with their keys.
func upstreams(ctx context.Context, p *patient) []Finding {
	var visits []visit
	for _, name := range slices.Sorted(maps.Keys(p.Upstreams)) {
		if u := p.Upstreams[name]; u.Embedded == nil && p.set.Drivers.Upstreams[u.Type] != nil {
			visits = append(visits, p.visits(name)...)
		}
	}
	all := make([][]Finding, len(visits))
	var wg sync.WaitGroup
	for i, v := range visits {
		wg.Go(func() { all[i] = p.upstream(ctx, v) })
	}
	wg.Wait()
	return slices.Concat(all...)
}

// visits are those of one upstream: what all of its mounts assume roles for is not asked what it would serve by itself.
func (p *patient) visits(name string) []visit {
	var out []visit
	for i, m := range p.Mounts {
		if m.Upstream != name {
			continue
		}
		at := slices.IndexFunc(out, func(v visit) bool {
			return (v.role == nil) == (m.AssumeRole == nil) && (v.role == nil || *v.role == *m.AssumeRole)
		})
		if at < 0 {
			at = len(out)
			out = append(out, visit{name: name, role: m.AssumeRole, mount: i})
		}
		if place := (secret.Place{At: m.At, Itself: m.Layout == "fields"}); !slices.Contains(out[at].places, place) {
			out[at].places = append(out[at].places, place)
		}
	}
	for _, v := range out {
		slices.SortStableFunc(v.places, func(a, b secret.Place) int { return strings.Compare(a.At, b.At) })
	}
	if len(out) == 0 {
		out = []visit{{name: name}}
	}
	return out
}

// where is what a key of a Trouble names.
func (v visit) where(key string) string {
	switch {
	case v.role != nil && key == "assume_role":
		return fmt.Sprintf("mounts[%d].%s", v.mount, key)
	case key == "":
		return "upstreams." + v.name
	}
	return "upstreams." + v.name + "." + key
}

func (p *patient) upstream(ctx context.Context, v visit) []Finding {
	u := p.Upstreams[v.name]
	if v.role != nil {
		own := *u.AWS
		own.Assume = v.role
		u.AWS = &own
	}
	opened, err := p.set.Drivers.Upstreams[u.Type](p.env(), u)
	if err != nil {
		return []Finding{unopened(err, v.where(""))}
	}
	defer func() { _ = opened.Close() }()
	checker, can := opened.(secret.Checker)
	if !can {
		return []Finding{ok("not looked at: a "+u.Type+" cannot be asked", v.where(""))}
	}
	ctx, cancel := context.WithTimeout(ctx, checkupTime)
	defer cancel()
	before := p.set.Wall()
	got := checker.Checkup(ctx, v.places)
	return p.told(got, before, v.where)
}

// told is what a checkup that began at before has found; where names the keys of its troubles.
func (p *patient) told(got secret.Checkup, before time.Time, where func(key string) string) []Finding {
	found := skew(before, p.set.Wall(), got.Time, where(""))
	for _, t := range got.Troubles {
		f := fail(t.What, where(t.Where), t.Fix)
		if t.Minor {
			f.Status = Warn
		}
		found = append(found, f)
	}
	if len(found) == 0 {
		found = append(found, ok(strings.Join(got.Good, "; "), where("")))
	}
	return found
}
