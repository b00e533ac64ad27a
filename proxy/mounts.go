package proxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/cache"
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
	Eventual Freshness = "eventual" // as Bounded, and a state store that cannot be read is never an error
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
	TTL          cache.TTL
}

// LabelRule sets labels on the paths that Match matches.
type LabelRule struct {
	Match secret.Pattern
	Set   []policy.Pair
}

type mount struct {
	Mount
	writer secret.Writer // nil where the upstream takes no writes
	lister secret.Lister // nil where the upstream cannot list
	outbox *outbox       // with writer
	unique bool          // secret.UniqueVersions
	load   cache.Load    // read, bound once so that a hit costs no closure
}

// mountTable finds the mount with the longest whole-segment prefix.
type mountTable struct {
	byPath map[string]*mount
	all    []*mount
}

func newMountTable(mounts []Mount) (*mountTable, error) {
	t := &mountTable{byPath: make(map[string]*mount, len(mounts))}
	for _, m := range mounts {
		if m.Upstream == nil || m.UpstreamName == "" {
			return nil, fmt.Errorf("mount %q has no upstream", m.Path)
		}
		if m.TTL.Soft <= 0 || m.TTL.Hard < m.TTL.Soft {
			return nil, fmt.Errorf("mount %q: want 0 < soft_ttl <= hard_ttl", m.Path)
		}
		if t.byPath[m.Path.String()] != nil {
			return nil, fmt.Errorf("mount %q is defined twice", m.Path)
		}
		e := &mount{Mount: m}
		e.load = e.read
		e.writer, _ = m.Upstream.(secret.Writer)
		e.lister, _ = m.Upstream.(secret.Lister)
		_, e.unique = m.Upstream.(secret.UniqueVersions)
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

// object gives the upstream's name of path, and the field of that object in the layout Fields.
func (m *mount) object(path secret.Path) (name, field string, err error) {
	rel := path.Rel(m.Path)
	if m.Layout == Fields {
		if rel == "" {
			return "", "", errNoObject
		}
		i := strings.LastIndexByte(rel, '/')
		field, rel = rel[i+1:], rel[:max(i, 0)]
	}
	name = join(m.At, rel)
	if name == "" {
		return "", "", errNoObject
	}
	return name, field, nil
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
		p, err := secret.Below(path)
		return p, err == nil
	}
	return secret.Exactly(path), !path.IsZero()
}

// labels are the mount's, then those of each rule in order; a later one wins. They are sorted by name.
func (s *ruleSet) labels(m *mount, path secret.Path) []policy.Pair {
	var base []policy.Pair
	if m != nil {
		base = m.Labels
	}
	owned := false
	for i := range s.Labels {
		if !s.Labels[i].Match.Match(path) {
			continue
		}
		if !owned {
			base, owned = slices.Clone(base), true
		}
		for _, l := range s.Labels[i].Set {
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
