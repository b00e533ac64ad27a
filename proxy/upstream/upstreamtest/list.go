package upstreamtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func testList(t *testing.T, h Harness) {
	u := open(t, h)
	l, ok := u.(secret.Lister)
	if ok != h.Lists {
		t.Fatalf("the upstream is a Lister: %t, the harness says %t", ok, h.Lists)
	}
	if !ok {
		return
	}
	if items := list(t, l, "", "", 10); len(items) != 0 {
		t.Errorf("an empty upstream lists %q", itemNames(items))
	}
	// Bytewise, "-" and "." come before "/", digits and letters after it: names beside a prefix stand between the
	// prefix itself and what is below it.
	all := []string{
		"suite/a", "suite/a-b", "suite/a.b", "suite/a/b", "suite/a/b-c", "suite/a/b-c/d", "suite/a/b.c", "suite/a/b/c",
		"suite/a/b/d/e", "suite/a/b0", "suite/a/c", "suite/a0", "suite/ab/c", "suite/b", "web/A", "web/a",
	}
	slices.Sort(all)
	for _, i := range []int{7, 0, 12, 3, 15, 9, 1, 4, 14, 2, 11, 5, 8, 6, 10, 13} {
		s := simple(h, all[i])
		if h.Metadata {
			s.Metadata = map[string]string{"name": all[i]}
		}
		put(t, h, u, all[i], s)
	}
	t.Run("Prefix", func(t *testing.T) {
		for _, prefix := range []string{"", "suite", "suite/a", "suite/a/b", "suite/a/b-c", "suite/b", "suite/a/b/d", "web", "we", "suite/a/bb", "zoo"} {
			want := under(all, prefix, "")
			if got := itemNames(list(t, l, prefix, "", 100)); !slices.Equal(got, want) {
				t.Errorf("under %q: got %q, want %q", prefix, got, want)
			}
		}
	})
	t.Run("After", func(t *testing.T) {
		afters := slices.Concat(all, []string{"", "a", "suite", "suite/a/", "suite/a/b!", "suite/a/b/zzz", "zoo"})
		for _, prefix := range []string{"", "suite/a", "suite/a/b", "web"} {
			for _, after := range afters {
				want := under(all, prefix, after)
				if got := itemNames(list(t, l, prefix, after, 100)); !slices.Equal(got, want) {
					t.Errorf("under %q after %q: got %q, want %q", prefix, after, got, want)
				}
			}
		}
	})
	t.Run("Limit", func(t *testing.T) {
		for _, prefix := range []string{"", "suite/a/b"} {
			for limit := 1; limit <= 4; limit++ {
				got := pages(t, l, prefix, limit)
				if want := under(all, prefix, ""); !slices.Equal(got, want) {
					t.Errorf("under %q by %d: got %q, want %q", prefix, limit, got, want)
				}
			}
		}
	})
	t.Run("Items", func(t *testing.T) {
		for _, item := range list(t, l, "", "", 100) {
			s := read(t, u, item.Name, secret.Current)
			if item.Version != "" && item.Version != s.Version {
				t.Errorf("%s is listed at version %q, but is at %q", item.Name, item.Version, s.Version)
			}
			if len(item.Metadata) > 0 {
				sameMetadata(t, item.Metadata, s.Metadata)
			}
		}
	})
}

func list(t *testing.T, l secret.Lister, prefix, after string, limit int) []secret.Item {
	t.Helper()
	items, err := l.List(t.Context(), prefix, after, limit)
	noError(t, fmt.Sprintf("listing %q after %q", prefix, after), err)
	if len(items) > limit {
		t.Errorf("listing %q: %d items, at most %d were asked for", prefix, len(items), limit)
	}
	return items
}

// pages lists page by page. Fewer items than the limit mean the end.
func pages(t *testing.T, l secret.Lister, prefix string, limit int) []string {
	t.Helper()
	var names []string
	for after := ""; ; {
		items := list(t, l, prefix, after, limit)
		names = append(names, itemNames(items)...)
		if len(items) < limit {
			return names
		}
		if next := items[len(items)-1].Name; next <= after {
			t.Fatalf("a page after %q ends with %q", after, next)
		} else {
			after = next
		}
	}
}

// under is what a listing must be, by definition.
func under(all []string, prefix, after string) []string {
	var want []string
	for _, name := range all {
		below := prefix == "" || name == prefix || len(name) > len(prefix) && name[:len(prefix)+1] == prefix+"/"
		if below && name > after {
			want = append(want, name)
		}
	}
	return want
}

func itemNames(items []secret.Item) []string {
	var names []string
	for _, i := range items {
		names = append(names, i.Name)
	}
	return names
}
