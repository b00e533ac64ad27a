package embedded_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// model is what a vault must do, in the plainest form.
type model struct {
	secrets map[string]*modelSecret
	pending []secret.Change
	changes uint64
}

type modelSecret struct {
	last, updated int64
	versions      map[int64]modelVersion // empty: deleted
}

type modelVersion struct {
	value    string
	fields   map[string]string // nil: value
	metadata map[string]string
	created  int64
}

var modelNames = []string{"a", "a-", "a.b", "a/b", "a/b-c", "a/b/c", "a0", "b"}

type machine struct {
	t     *testing.T
	path  string
	clock *clock
	v     *embedded.Vault
	m     model
}

func TestModel(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			rt.Fatal(err)
		}
		s := &machine{t: t, path: filepath.Join(dir, "vault.db"), clock: &clock{time.UnixMilli(1_000_000)}, m: model{secrets: map[string]*modelSecret{}}}
		s.open(rt)
		defer func() { _ = s.v.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"Write": s.write, "WriteAgain": s.write, "WriteMore": s.write, "Delete": s.delete, "Settle": s.settle, "Reopen": s.reopen, "Read": s.read,
			"List": s.list, "Pending": s.checkPending, "Clock": s.moveClock,
		})
	})
}

func (s *machine) open(rt *rapid.T) {
	v, err := embedded.Open(embedded.Config{Path: s.path, Key: masterKey(1), Wall: s.clock.wall})
	if err != nil {
		rt.Fatal(err)
	}
	s.v = v
}

func (s *machine) reopen(rt *rapid.T) {
	if err := s.v.Close(); err != nil {
		rt.Fatal(err)
	}
	s.open(rt)
}

func (s *machine) moveClock(rt *rapid.T) {
	s.clock.now = s.clock.now.Add(time.Duration(rapid.IntRange(-50, 100).Draw(rt, "ms")) * time.Millisecond)
}

func drawName(rt *rapid.T) string { return rapid.SampledFrom(modelNames).Draw(rt, "name") }

func drawMap(rt *rapid.T, label string) map[string]string {
	return rapid.OneOf(
		rapid.Just(map[string]string(nil)),
		rapid.MapOfN(rapid.StringMatching(`[a-zA-Z_]{1,5}`), rapid.StringN(-1, -1, 20), 0, 3),
	).Draw(rt, label)
}

func (s *machine) write(rt *rapid.T) {
	name := drawName(rt)
	next := modelVersion{fields: drawMap(rt, "fields"), metadata: drawMap(rt, "metadata")}
	w := secret.Write{Secret: &secret.Secret{Metadata: next.metadata}}
	if next.fields == nil {
		next.value = string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "value"))
		w.Secret.Value = secret.NewValue([]byte(next.value))
	} else {
		w.Secret.Fields = []secret.Field{}
		for k, v := range next.fields {
			w.Secret.Fields = append(w.Secret.Fields, secret.Field{Name: k, Value: secret.NewValue([]byte(v))})
		}
		secret.SortFields(w.Secret.Fields)
	}
	w.IfVersion = secret.Version(rapid.SampledFrom([]string{"", "", "", "0", "1", "2", "3"}).Draw(rt, "if_version"))

	old := s.m.secrets[name]
	exists := old != nil && len(old.versions) > 0
	conflict := w.IfVersion == "0" && exists || w.IfVersion != "" && w.IfVersion != "0" && (!exists || string(w.IfVersion) != fmt.Sprint(old.last))
	v, created, err := s.v.Write(s.t.Context(), name, w)
	if conflict {
		if !errors.Is(err, secret.ErrConflict) {
			rt.Fatalf("writing %s: got %q, %v, want ErrConflict", name, v, err)
		}
		return
	}
	if old == nil {
		old = &modelSecret{versions: map[int64]modelVersion{}, updated: -1}
		s.m.secrets[name] = old
	}
	if next.metadata == nil && exists {
		next.metadata = old.versions[old.last].metadata
	}
	old.last++
	old.updated = max(old.updated+1, s.clock.now.UnixMilli())
	next.created = old.updated
	old.versions[old.last] = next
	s.m.change(name)
	if err != nil || string(v) != fmt.Sprint(old.last) || created == exists {
		rt.Fatalf("writing %s: got %q, created %t, %v, want %d, %t", name, v, created, err, old.last, !exists)
	}
}

func (m *model) change(name string) {
	m.changes++
	m.pending = append(m.pending, secret.Change{ID: m.changes, Name: name})
}

func (s *machine) delete(rt *rapid.T) {
	name := drawName(rt)
	if err := s.v.Delete(s.t.Context(), name); err != nil {
		rt.Fatal(err)
	}
	if old := s.m.secrets[name]; old != nil && len(old.versions) > 0 {
		clear(old.versions)
		old.updated = max(old.updated+1, s.clock.now.UnixMilli())
		s.m.change(name)
	}
}

func (s *machine) read(rt *rapid.T) {
	name := drawName(rt)
	version := rapid.SampledFrom([]secret.Version{secret.Current, secret.Previous, "1", "2", "3", "4", "5"}).Draw(rt, "version")
	var n int64
	if m := s.m.secrets[name]; m != nil {
		switch version {
		case secret.Current:
			n = m.last
		case secret.Previous:
			n = m.last - 1
		default:
			n = int64(version[0] - '0')
		}
	}
	var want modelVersion
	found := false
	if m := s.m.secrets[name]; m != nil {
		want, found = m.versions[n]
	}
	got, err := s.v.Read(s.t.Context(), name, version)
	if !found {
		if !errors.Is(err, secret.ErrNotFound) {
			rt.Fatalf("%s at %s: got %v, want ErrNotFound", name, version, err)
		}
		return
	}
	if err != nil {
		rt.Fatalf("%s at %s: %v", name, version, err)
	}
	fields := map[string]string(nil)
	if got.Fields != nil {
		fields = map[string]string{}
		for _, f := range got.Fields {
			fields[f.Name] = string(f.Value.Reveal())
		}
	}
	switch {
	case string(got.Version) != fmt.Sprint(n), got.CreatedAt.UnixMilli() != want.created,
		(fields == nil) != (want.fields == nil), !maps.Equal(fields, want.fields),
		string(got.Value.Reveal()) != want.value, !maps.Equal(got.Metadata, want.metadata):
		rt.Fatalf("%s at %s: got version %s of %v, fields %q, value %q, metadata %q; want %d, %+v",
			name, version, got.Version, got.CreatedAt.UnixMilli(), fields, got.Value.Reveal(), got.Metadata, n, want)
	}
}

func (s *machine) list(rt *rapid.T) {
	prefix := rapid.SampledFrom(append([]string{"", "c"}, modelNames...)).Draw(rt, "prefix")
	after := rapid.SampledFrom(append([]string{"", "a/", "c"}, modelNames...)).Draw(rt, "after")
	limit := rapid.IntRange(0, 10).Draw(rt, "limit")
	p, _ := secret.ParsePath(prefix)
	var want []secret.Item
	for _, name := range modelNames { // in order
		m := s.m.secrets[name]
		path, _ := secret.ParsePath(name)
		if m != nil && len(m.versions) > 0 && path.Under(p) && name > after && len(want) < limit {
			want = append(want, secret.Item{Name: name, Version: secret.Version(fmt.Sprint(m.last)), UpdatedAt: time.UnixMilli(m.updated).UTC(), Metadata: m.versions[m.last].metadata})
		}
	}
	got, err := s.v.List(s.t.Context(), prefix, after, limit)
	same := slices.EqualFunc(got, want, func(a, b secret.Item) bool {
		return a.Name == b.Name && a.Version == b.Version && a.UpdatedAt == b.UpdatedAt && maps.Equal(a.Metadata, b.Metadata)
	})
	if err != nil || !same {
		rt.Fatalf("under %q after %q: got %v (%v), want %v", prefix, after, got, err, want)
	}
}

func (s *machine) checkPending(rt *rapid.T) {
	if got, err := s.v.Pending(s.t.Context()); err != nil || !slices.Equal(got, s.m.pending) {
		rt.Fatalf("pending: got %v (%v), want %v", got, err, s.m.pending)
	}
}

func (s *machine) settle(rt *rapid.T) {
	ids := rapid.SliceOfN(rapid.Uint64Range(0, s.m.changes+1), 0, 4).Draw(rt, "ids")
	if err := s.v.Settle(s.t.Context(), ids...); err != nil {
		rt.Fatal(err)
	}
	s.m.pending = slices.DeleteFunc(s.m.pending, func(c secret.Change) bool { return slices.Contains(ids, c.ID) })
}
