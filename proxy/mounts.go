package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Layout says how the objects of an upstream become secrets.
type Layout string

// The layouts. The zero Layout is Objects.
const (
	Objects Layout = "objects" // one object is one secret
	Fields  Layout = "fields"  // the last segment names a field of the object that the rest names
)

// Freshness says how often the generation is checked before a cached value is served.
type Freshness string

// The freshness modes. The zero Freshness is Bounded.
const (
	Strict   Freshness = "strict"   // on every request
	Bounded  Freshness = "bounded"  // when the last check is older than the check interval
	Eventual Freshness = "eventual" // as Bounded, but meanwhile serve on what was known; never longer than MaxBlind
)

// Mount binds the paths under Path to a place in an upstream. Its name is its path; the zero Path is the root mount,
// which takes every path that no nearer mount takes.
type Mount struct {
	Path         secret.Path
	Upstream     secret.Upstream
	UpstreamName string // mounts of one upstream share the name
	At           string // object name that stands for Path; "" is the upstream's root
	Layout       Layout
	Labels       []policy.Pair
	Freshness    Freshness
	TTL          cache.TTL    // Stale is 0 for paths that are classified as restricted, whatever stands here
	Guard        *guard.Guard // of the upstream, shared by its mounts but for those with a role of their own; nil: ask it without limits
	Poll         Poll         // of the upstream, the same for its mounts
}

// LabelRule sets labels on the paths that Match matches.
type LabelRule struct {
	Match secret.Pattern
	Set   []policy.Pair
}

type mount struct {
	Mount
	reader  guard.Reader
	part    guard.Reader           // reader for listings
	writer  secret.Writer          // nil where the upstream takes no writes
	lister  secret.Lister          // nil where the upstream cannot list
	ordered secret.OrderedVersions // nil where versions do not tell which is newer
	outbox  *outbox                // with writer
	poller  *poller                // nil where the upstream is not polled
	unique  bool                   // secret.UniqueVersions
	located secret.Located         // nil where there is one place alone
	load    cache.Load             // refresh, bound once so that a hit costs no closure
	cache   *cache.Cache
	log     *slog.Logger
	older   atomic.Uint64 // refreshes that came back with an older version twice

	complaint complaint

	deleter   secret.Deleter   // nil where the upstream deletes nothing
	versioner secret.Versioner // nil where the upstream does not tell its versions
}

// mountTable finds the mount with the longest whole-segment prefix.
type mountTable struct {
	byPath map[string]*mount
	all    []*mount
}

func newMountTable(mounts []Mount, values *cache.Cache, mono func() time.Duration, log *slog.Logger) (*mountTable, error) {
	t := &mountTable{byPath: make(map[string]*mount, len(mounts))}
	for _, m := range mounts {
		if m.Upstream == nil || m.UpstreamName == "" {
			return nil, fmt.Errorf("mount %q has no upstream", m.Path)
		}
		if off := m.TTL.Soft == 0 && m.TTL.Hard == 0; !off && (m.TTL.Soft <= 0 || m.TTL.Hard < m.TTL.Soft) {
			return nil, fmt.Errorf("mount %q: want 0 < soft_ttl <= hard_ttl, or both 0 to keep nothing", m.Path)
		}
		if m.TTL.Stale < 0 || m.TTL.Negative < 0 {
			return nil, fmt.Errorf("mount %q: stale_if_error and negative_ttl must not be negative", m.Path)
		}
		if t.byPath[m.Path.String()] != nil {
			return nil, fmt.Errorf("mount %q is defined twice", m.Path)
		}
		e := &mount{Mount: m, cache: values, log: log, complaint: complaint{mono: mono}}
		e.load = e.refresh
		e.reader, e.part = m.Guard.Reader(m.Upstream), m.Guard.Part(m.Upstream)
		if w, ok := m.Upstream.(secret.Writer); ok {
			e.writer = m.Guard.Writer(w)
		}
		if l, ok := m.Upstream.(secret.Lister); ok {
			e.lister = m.Guard.Lister(l)
		}
		e.ordered, _ = m.Upstream.(secret.OrderedVersions)
		if d, ok := m.Upstream.(secret.Deleter); ok {
			e.deleter = m.Guard.Deleter(d)
		}
		if v, ok := m.Upstream.(secret.Versioner); ok {
			e.versioner = m.Guard.Versioner(v)
		}
		_, e.unique = m.Upstream.(secret.UniqueVersions)
		e.located, _ = m.Upstream.(secret.Located)
		e.Labels = sortedPairs(m.Labels)
		t.byPath[m.Path.String()] = e
		t.all = append(t.all, e)
	}
	return t, nil
}

// find returns the mount of path, or nil.
func (t *mountTable) find(path secret.Path) *mount {
	prefix := path.String()
	for {
		if m := t.byPath[prefix]; m != nil {
			return m
		}
		if prefix == "" {
			return nil
		}
		prefix = prefix[:max(strings.LastIndexByte(prefix, '/'), 0)]
	}
}

// strictest is the strictest freshness of the mounts that reach into prefix.
func (t *mountTable) strictest(prefix secret.Path) Freshness {
	for _, m := range t.all {
		if m.Freshness == Strict && (m.Path.Under(prefix) || prefix.Under(m.Path)) {
			return Strict
		}
	}
	return Bounded
}

var errNoObject = errors.New("the path names the mount itself")

// object gives the upstream's name of the object that path is, or in the layout Fields is a field of, and where this
// mount shows that object. It is the one way from paths to objects; path and pattern are the way back.
func (m *mount) object(path secret.Path) (name string, at secret.Path, err error) {
	if m.Layout == Fields {
		if path == m.Path {
			return "", path, errNoObject
		}
		path = path.Parent()
	} else if m.At == m.Path.String() {
		return path.String(), path, nil // what the rest of this comes to, for every read of the usual mount
	}
	if name = join(m.At, path.Rel(m.Path)); name == "" {
		return "", path, errNoObject
	}
	return name, path, nil
}

// elsewhere reports whether the object of that name is known to be somewhere else than at l.
func (m *mount) elsewhere(name string, l secret.Location) bool {
	return l != (secret.Location{}) && m.located != nil && m.located.Location(name).Elsewhere(l)
}

func join(at, rel string) string {
	if at == "" || rel == "" {
		return at + rel
	}
	return at + "/" + rel
}

// path is where this mount shows the object; ok is false where it does not. The object at the mount itself is shown as
// the mount's own path, which is the zero Path for the root mount.
func (m *mount) path(name string) (path secret.Path, ok bool) {
	rel := name
	switch {
	case m.At == "":
	case name == m.At:
		rel = ""
	default:
		if rel, ok = strings.CutPrefix(name, m.At+"/"); !ok {
			return secret.Path{}, false
		}
	}
	if rel == "" {
		return m.Path, true
	}
	path, err := m.Path.Join(rel)
	return path, err == nil
}

// pattern matches the secrets that the object is shown as through this mount; ok is false where there are none.
func (m *mount) pattern(name string) (p secret.Pattern, ok bool) {
	path, ok := m.path(name)
	switch {
	case !ok:
		return secret.Pattern{}, false
	case m.Layout == Fields:
		p, err := secret.JustBelow(path)
		return p, err == nil
	}
	return secret.Exactly(path), !path.IsZero()
}

// Classify fills in what a request's path decides: mount and labels, as every method of Proxy does. The mounts need no
// upstreams.
func Classify(r *policy.Request, mounts []Mount, rules []LabelRule) {
	t := mountTable{byPath: make(map[string]*mount, len(mounts))}
	for _, m := range mounts {
		m.Labels = sortedPairs(m.Labels)
		t.byPath[m.Path.String()] = &mount{Mount: m}
	}
	m := t.find(r.Path)
	r.Mount = ""
	if m != nil {
		r.Mount = m.Path.String()
	}
	r.Labels = labels(rules, m, r.Path)
}

func (s *ruleSet) labels(m *mount, path secret.Path) []policy.Pair { return labels(s.Labels, m, path) }

// labels are the mount's, then those of each rule in order; a later one wins. They are sorted by name.
func labels(rules []LabelRule, m *mount, path secret.Path) []policy.Pair {
	var base []policy.Pair
	if m != nil {
		base = m.Labels
	}
	owned := false
	for i := range rules {
		if !rules[i].Match.Match(path) {
			continue
		}
		if !owned {
			base, owned = slices.Clone(base), true
		}
		for _, l := range rules[i].Set {
			base = setPair(base, l)
		}
	}
	return base
}

func sortedPairs(in []policy.Pair) []policy.Pair {
	var out []policy.Pair
	for _, l := range in {
		out = setPair(out, l)
	}
	return out
}

func setPair(pairs []policy.Pair, l policy.Pair) []policy.Pair {
	i, found := slices.BinarySearchFunc(pairs, l.Name, func(a policy.Pair, name string) int { return strings.Compare(a.Name, name) })
	if found {
		pairs[i] = l
		return pairs
	}
	return slices.Insert(pairs, i, l)
}
