package proxy_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// shelf is an upstream that lists.
type shelf struct {
	vault
	names []string // in order
}

func (s *shelf) List(_ context.Context, prefix, after string, limit int) ([]secret.Item, error) {
	var out []secret.Item
	for _, n := range s.names {
		if (prefix == "" || n == prefix || strings.HasPrefix(n, prefix+"/")) && n > after && len(out) < limit {
			out = append(out, secret.Item{Name: n, Version: "1"})
		}
	}
	return out, nil
}

// Every page together is what a look at all paths gives: in order, each once, by the nearest mount, within the prefix.
func TestListAgreesWithLookingAtEverything(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "a-b", "b", "web", "web-2", "x"})
	name := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(segment, 1, 4).Draw(t, "segments"), "/")
	})
	ttl := cache.TTL{Soft: 1, Hard: 1}
	rapid.Check(t, func(rt *rapid.T) {
		up := &shelf{names: rapid.SliceOfDistinct(name, func(s string) string { return s }).Draw(rt, "names")}
		slices.Sort(up.names)
		mounts := []proxy.Mount{{Upstream: up, UpstreamName: "v", TTL: ttl}}
		for _, m := range rapid.SliceOfNDistinct(name, 0, 3, func(s string) string { return s }).Draw(rt, "mounts") {
			at := ""
			if rapid.Bool().Draw(rt, "at") {
				at = name.Draw(rt, "place")
			}
			mounts = append(mounts, proxy.Mount{Path: path(t, m), Upstream: up, UpstreamName: "v", At: at, TTL: ttl})
		}
		var prefix secret.Path
		if rapid.Bool().Draw(rt, "prefixed") {
			prefix = path(t, name.Draw(rt, "prefix"))
		}
		limit := rapid.IntRange(1, 4).Draw(rt, "limit")

		h := newHarness(t, func(c *proxy.Config) { c.Mounts = mounts })
		c := h.call(t, "list:**")
		var got []string
		for after := ""; ; {
			page, err := h.List(t.Context(), c, proxy.ListRequest{Prefix: prefix, After: after, Limit: limit})
			must(t, err)
			for _, it := range page.Items {
				got = append(got, it.Path.String()+"@"+it.Mount)
			}
			if after = page.Next; after == "" {
				break
			}
		}
		if want := everything(t, up.names, mounts, prefix); !slices.Equal(got, want) {
			rt.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

// everything computes a listing the slow way.
func everything(t *testing.T, names []string, mounts []proxy.Mount, prefix secret.Path) []string {
	t.Helper()
	nearest := func(p secret.Path) secret.Path {
		var best secret.Path
		for _, m := range mounts {
			if p.Under(m.Path) && m.Path.Segments() >= best.Segments() {
				best = m.Path
			}
		}
		return best
	}
	var paths []string
	for _, m := range mounts {
		for _, n := range names {
			rel := n
			if m.At != "" {
				if n != m.At && !strings.HasPrefix(n, m.At+"/") {
					continue
				}
				rel = strings.TrimPrefix(strings.TrimPrefix(n, m.At), "/")
			}
			p, err := m.Path.Join(rel)
			if rel == "" {
				p, err = m.Path, nil
			}
			if err == nil && !p.IsZero() && p.Under(prefix) && nearest(p) == m.Path {
				paths = append(paths, p.String()+"@"+m.Path.String())
			}
		}
	}
	slices.SortFunc(paths, func(a, b string) int {
		a, _, _ = strings.Cut(a, "@")
		b, _, _ = strings.Cut(b, "@")
		return strings.Compare(a, b)
	})
	return paths
}

// Only what the policy allows one by one is shown; what a call may look at is bounded.
func TestListAsksThePolicyAndStops(t *testing.T) {
	up := &shelf{}
	for _, a := range "0123456789abcdefghijklmnopqrstuvwxyz" {
		for _, b := range "0123456789abcdefghijklmnopqrstuvwxyz" {
			up.names = append(up.names, "k/"+string(a)+string(b), "k/"+string(a)+string(b)+"/2")
		}
	}
	h := newHarness(t, func(c *proxy.Config) {
		c.Mounts = []proxy.Mount{{Upstream: up, UpstreamName: "v", TTL: cache.TTL{Soft: 1, Hard: 1}}}
	})
	h.judge.effect.Store(uint32(policy.Deny))
	page, err := h.List(t.Context(), h.call(t, "list:k/*"), proxy.ListRequest{Limit: 500})
	must(t, err)
	if len(page.Items) != 0 || page.Next == "" {
		t.Errorf("got %d items and next %q, want none and a cursor", len(page.Items), page.Next)
	}
	if n := h.records(`"action":"list"`, `"examined":2000`); n != 1 {
		t.Errorf("got %d records of 2000 examined, want 1", n)
	}
	if got := h.judge.calls.Load(); got != 1000 {
		t.Errorf("the policy was asked %d times, want once for each path that a scope covers", got)
	}
	if got := h.judge.last.Load(); got.Action != policy.List || got.Path.IsZero() {
		t.Errorf("the policy was asked %+v", got)
	}
	_, err = h.List(t.Context(), h.call(t, "list:other/*"), proxy.ListRequest{Prefix: path(t, "k"), Limit: 1})
	if codeOf(t, err) != api.ScopeDenied {
		t.Errorf("got %v, want scope_denied", err)
	}
}
