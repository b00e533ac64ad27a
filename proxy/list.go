package proxy

import (
	"context"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Limits of one listing.
const (
	DefaultListLimit = 100
	MaxListLimit     = 500
	// maxExamined bounds the paths looked at in one call, shown or not.
	maxExamined = 2000
)

// ListRequest asks for the paths at Prefix and below it; the zero Prefix is everything.
type ListRequest struct {
	Prefix secret.Path
	After  string // continue behind this path
	Limit  int    // 1..MaxListLimit
}

// Listed is one path of a listing.
type Listed struct {
	Path  secret.Path
	Mount string
	Item  secret.Item
}

// Listing is the answer to a ListRequest. Next, where not "", continues it.
type Listing struct {
	Items    []Listed
	Next     string
	Decision string
}

// List shows the paths that a list scope covers and the policy allows, in bytewise order, and never a value.
func (p *Proxy) List(ctx context.Context, c *Call, r ListRequest) (Listing, error) {
	t := p.begin(c, policy.List)
	defer p.end(t)
	t.rec.Resource.Path = r.Prefix.String()
	pr, err := p.authenticate(ctx, c, t)
	if err != nil {
		return Listing{}, err
	}
	if err := p.current(ctx, t, p.mounts.strictest(r.Prefix), false); err != nil {
		return Listing{}, err
	}
	if !pr.Scopes.CanMatchUnder(policy.List, r.Prefix) {
		t.rec.Decision.Effect = policy.Deny.String()
		return Listing{}, p.refuse(ctx, t, fail(api.ScopeDenied, "no list scope of the token can match under this prefix"))
	}
	out, err := p.list(ctx, t, r)
	if err != nil {
		return Listing{}, p.refuse(ctx, t, because(err))
	}
	t.rec.Resource.Path, t.rec.Resource.Mount, t.rec.Resource.Classification = r.Prefix.String(), "", ""
	// Each path had a decision of its own; what is recorded is who decided them.
	t.rec.Decision = audit.Decision{Effect: policy.Allow.String(), PolicyDigest: t.rules.Authorizer.Digest()}
	t.rec.Result.Status, t.rec.Result.Returned = 200, len(out.Items)
	if err := p.record(ctx, t); err != nil {
		return Listing{}, err
	}
	out.Decision = t.rec.ID
	return out, nil
}

// list merges the mounts that reach into the prefix. Every path is decided before it is shown.
func (p *Proxy) list(ctx context.Context, t *transaction, r ListRequest) (Listing, error) {
	if !p.room(t) {
		return Listing{}, overloaded()
	}
	waiting := t.bounded(ctx)
	// Pages are not spent on what no scope can show.
	r.Prefix = t.req.Principal.Scopes.Root(policy.List, r.Prefix)
	streams, err := p.streams(waiting, t, r)
	if err != nil {
		return Listing{}, err
	}
	var out Listing
	// Several mounts may yield one path, of which one is its mount: a cursor stands behind all of them or before.
	before, last := "", ""
	for t.rec.Result.Examined = 0; ; t.rec.Result.Examined++ {
		s, err := smallest(waiting, streams)
		if err != nil {
			return Listing{}, err
		}
		if s == nil {
			return out, nil
		}
		next := s.page[0]
		if path := next.Path.String(); path != last {
			before, last = last, path
		}
		if t.rec.Result.Examined == maxExamined {
			out.Next = before
			return out, nil
		}
		s.page = s.page[1:]
		if p.mounts.find(next.Path) == s.mount && p.listable(ctx, t, s.mount, next.Path) {
			if len(out.Items) == r.Limit {
				// Only a path that may be shown makes another page: what follows hidden is not told.
				out.Next = before
				return out, nil
			}
			out.Items = append(out.Items, next)
		}
	}
}

// listable decides one path of a listing. A policy that fails hides the path.
func (p *Proxy) listable(ctx context.Context, t *transaction, m *mount, path secret.Path) bool {
	if !t.req.Principal.Scopes.Allows(policy.List, path) {
		return false
	}
	if p.fresh.revoked.Load().check(t.token, path, t.rec.Time) != nil {
		return false
	}
	t.req.Path, t.req.Mount, t.req.Labels = path, m.Path.String(), t.rules.labels(m, path)
	return p.ask(ctx, t).Effect == policy.Allow
}

// stream yields the paths of one mount in order, fetching pages as they are needed.
type stream struct {
	mount  *mount
	prefix string // object names, by whole segments
	after  string
	page   []Listed
	ended  bool
}

const pageSize = 200

func (p *Proxy) streams(ctx context.Context, t *transaction, r ListRequest) ([]*stream, error) {
	var out []*stream
	for _, m := range p.mounts.all {
		s := &stream{mount: m}
		from := m.Path
		switch {
		case m.lister == nil:
			continue
		case m.Path.Under(r.Prefix):
			s.prefix = m.At
		case r.Prefix.Under(m.Path):
			from, s.prefix = r.Prefix, join(m.At, r.Prefix.Rel(m.Path))
		default:
			continue
		}
		if !t.req.Principal.Scopes.CanMatchUnder(policy.List, from) {
			continue // nothing of it can be shown: neither how much there is nor how its upstream is may be told
		}
		if m.Layout == Fields {
			if err := s.collectFields(ctx, t.req.Principal.Scopes, r); err != nil {
				return nil, err
			}
		} else if !s.startBehind(r.After) {
			continue
		}
		out = append(out, s)
	}
	return out, nil
}

// startBehind translates the cursor, a path, into an object name of this mount; false where the mount lies before it.
func (s *stream) startBehind(after string) bool {
	if after == "" {
		return true
	}
	mount := s.mount.Path.String()
	switch {
	case mount == "":
		s.after = join(s.mount.At, after)
	case after == mount:
		s.after = s.mount.At
	case strings.HasPrefix(after, mount+"/"):
		s.after = join(s.mount.At, after[len(mount)+1:])
	default:
		// All paths below the mount lie on one side of the cursor; the mount's own path may lie on the other, because a
		// cursor such as "web-2" sorts between "web" and "web/x".
		if mount+"/" < after {
			return false
		}
		if mount < after {
			s.after = s.mount.At
		}
	}
	return true
}

func (s *stream) fill(ctx context.Context) error {
	for len(s.page) == 0 && !s.ended {
		items, err := s.mount.lister.List(ctx, s.prefix, s.after, pageSize)
		if err != nil {
			return explained(err)
		}
		s.ended = len(items) < pageSize
		for _, it := range items {
			s.after = it.Name
			if path, ok := s.mount.path(it.Name); ok {
				s.page = append(s.page, Listed{Path: path, Mount: s.mount.Path.String(), Item: it})
			}
		}
	}
	return nil
}

// smallest returns the stream whose next path sorts first, nil when all have ended.
func smallest(ctx context.Context, streams []*stream) (*stream, error) {
	var best *stream
	for _, s := range streams {
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
		if len(s.page) > 0 && (best == nil || s.page[0].Path.String() < best.page[0].Path.String()) {
			best = s
		}
	}
	return best, nil
}
