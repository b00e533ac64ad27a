package policy_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func mustScopes(t testing.TB, s string) policy.Scopes {
	t.Helper()
	out, err := policy.ParseScopes(s)
	if err != nil {
		t.Fatalf("ParseScopes(%q): %v", s, err)
	}
	return out
}

func mustPath(t testing.TB, s string) secret.Path {
	t.Helper()
	p, err := secret.ParsePath(s)
	if err != nil {
		t.Fatalf("ParsePath(%q): %v", s, err)
	}
	return p
}

// repeat joins n copies of one scope.
func repeat(n int) string { return strings.TrimSuffix(strings.Repeat("read:a ", n), " ") }

func TestParseScopes(t *testing.T) {
	for s, want := range map[string]int{
		"":                          0,
		"read:web/production/*":     1,
		"read:a list:a/**":          2,
		"read:a read:a":             2,
		"write:** invalidate:x/S_*": 2,
		"revoke:a/* approve:b":      2,
		repeat(policy.MaxScopes):    policy.MaxScopes,
	} {
		got, err := policy.ParseScopes(s)
		if err != nil || len(got) != want {
			t.Errorf("ParseScopes(%q) = %d scopes, %v; want %d", s, len(got), err, want)
		}
		if got.String() != s {
			t.Errorf("ParseScopes(%q).String() = %q", s, got.String())
		}
	}
	for _, s := range []string{
		" ", "read:a ", " read:a", "read:a  list:a", "read:a\tlist:a", "read:a\nlist:a",
		"read", "read:", ":a", "a/b", "Read:a", "READ:a", "delete:a", "*:a", "read :a",
		"read:a/", "read:/a", "read:**/a", "read:a/**/b", "read:a*b", "read:..", "read:a:b", "read:é",
		"read:a bad:b",
		repeat(policy.MaxScopes + 1),
	} {
		if got, err := policy.ParseScopes(s); !errors.Is(err, policy.ErrInvalidScope) || got != nil {
			t.Errorf("ParseScopes(%q) = %v, %v; want ErrInvalidScope", s, got, err)
		}
	}
	// The cause is told apart for those who care.
	if _, err := policy.ParseScope("read:a//b"); !errors.Is(err, secret.ErrInvalidPattern) {
		t.Errorf("ParseScope = %v, want ErrInvalidPattern in it", err)
	}
}

func TestScopesAllow(t *testing.T) {
	s := mustScopes(t, "read:web/production/* list:web/** write:ci/TOKEN")
	for _, tt := range []struct {
		action policy.Action
		path   string
		want   bool
	}{
		{policy.Read, "web/production/KEY", true},
		{policy.Read, "web/production/a/b", false},
		{policy.Read, "web/staging/KEY", false},
		{policy.List, "web/staging/KEY", true},
		{policy.List, "ci/TOKEN", false},
		{policy.WriteTo, "ci/TOKEN", true},
		{policy.WriteTo, "web/production/KEY", false},
		{policy.Revoke, "web/production/KEY", false},
		{"", "web/production/KEY", false},
	} {
		if got := s.Allows(tt.action, mustPath(t, tt.path)); got != tt.want {
			t.Errorf("%q allows %s on %s = %v", s, tt.action, tt.path, got)
		}
	}
	if policy.Scopes(nil).Allows(policy.Read, mustPath(t, "a")) {
		t.Error("no scopes allow something")
	}
	if s.Allows(policy.List, secret.Path{}) {
		t.Error("the zero Path is allowed")
	}
}

func TestScopesCanMatchUnder(t *testing.T) {
	s := mustScopes(t, "list:web/production/* read:other/**")
	for _, tt := range []struct {
		action policy.Action
		prefix string
		want   bool
	}{
		{policy.List, "web", true},
		{policy.List, "web/production", true},
		{policy.List, "web/production/KEY", true},
		{policy.List, "web/production/KEY/x", false},
		{policy.List, "web/staging", false},
		{policy.List, "other", false},
		{policy.Read, "other", true},
	} {
		if got := s.CanMatchUnder(tt.action, mustPath(t, tt.prefix)); got != tt.want {
			t.Errorf("%q can match %s under %s = %v", s, tt.action, tt.prefix, got)
		}
	}
	if !s.CanMatchUnder(policy.List, secret.Path{}) || s.CanMatchUnder(policy.WriteTo, secret.Path{}) {
		t.Error("below the root the action alone decides")
	}
}

func TestScopesRoot(t *testing.T) {
	for _, tt := range []struct{ scopes, prefix, want string }{
		{"list:web/production/x/**", "", "web/production/x"},
		{"list:web/production/x/**", "web", "web/production/x"},
		{"list:web/production/x/**", "web/production/x/y", "web/production/x/y"},
		{"list:web/production/KEY", "web", "web/production"},
		{"list:web/production/KEY", "web/production/KEY", "web/production/KEY"},
		{"list:web/*/x/**", "web/production", "web/production"},
		{"list:a/b/x/** list:a/b/y/** list:a/by/**", "", "a"},
		{"list:a/b/x/** list:a/b/y/** list:a/by/**", "a/b", "a/b"},
		{"list:a/b/x/** list:a/b/y/** list:c/z/**", "a", "a/b"},
		{"list:a/b/x/** read:c/z/**", "", "a/b/x"},
		{"list:a/b/x/** list:**", "a", "a"},
		{"read:a/b/**", "a", "a"},
	} {
		var prefix secret.Path
		if tt.prefix != "" {
			prefix = mustPath(t, tt.prefix)
		}
		if got := mustScopes(t, tt.scopes).Root(policy.List, prefix).String(); got != tt.want {
			t.Errorf("%q under %q: got %q, want %q", tt.scopes, tt.prefix, got, tt.want)
		}
	}
}

func TestNarrow(t *testing.T) {
	for _, tt := range []struct{ granted, asked, want string }{
		{"read:web/**", "read:web/production/*", "read:web/production/*"},
		{"read:web/**", "read:web/a read:ci/b read:web/c", "read:web/a read:web/c"},
		{"read:web/**", "list:web/a", ""},
		{"read:web/*", "read:web/**", ""},
		{"read:web/S*", "read:web/*", ""},
		{"read:web/a read:web/b", "read:web/*", ""}, // no single granted scope covers it
		{"read:a", "", ""},
		{"", "read:a", ""},
		{"read:a/** read:a/b", "read:a/b", "read:a/b"}, // kept once
	} {
		if got := mustScopes(t, tt.granted).Narrow(mustScopes(t, tt.asked)); got.String() != tt.want {
			t.Errorf("%q narrowed to %q = %q, want %q", tt.granted, tt.asked, got, tt.want)
		}
	}
}

func drawScopes(t *rapid.T, label string) policy.Scopes {
	seg := rapid.SampledFrom([]string{"a", "b", "a*", "b*", "*"})
	word := rapid.Custom(func(t *rapid.T) string {
		action := rapid.SampledFrom([]string{"read", "list"}).Draw(t, "action")
		pattern := strings.Join(rapid.SliceOfN(seg, 1, 2).Draw(t, "segments"), "/")
		return action + ":" + pattern + rapid.SampledFrom([]string{"", "/**"}).Draw(t, "tail")
	})
	s, err := policy.ParseScopes(strings.Join(rapid.SliceOfN(word, 0, 4).Draw(t, label), " "))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A narrowed token permits nothing that the original did not, nor anything that was not asked for; what it was asked
// for and holds whole it keeps; narrowing again changes nothing.
func TestNarrowIsASubset(t *testing.T) {
	var paths []secret.Path
	for _, a := range []string{"a", "b", "ab"} {
		paths = append(paths, mustPath(t, a))
		for _, b := range []string{"a", "b", "ba"} {
			paths = append(paths, mustPath(t, a+"/"+b), mustPath(t, a+"/"+b+"/a"))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		granted, asked := drawScopes(t, "granted"), drawScopes(t, "asked")
		narrowed := granted.Narrow(asked)
		for _, action := range []policy.Action{policy.Read, policy.List, policy.WriteTo} {
			for _, p := range paths {
				if narrowed.Allows(action, p) && (!granted.Allows(action, p) || !asked.Allows(action, p)) {
					t.Fatalf("%q narrowed to %q is %q: allows %s on %s", granted, asked, narrowed, action, p)
				}
			}
		}
		if again := granted.Narrow(narrowed); again.String() != narrowed.String() {
			t.Fatalf("narrowing %q twice gives %q, then %q", granted, narrowed, again)
		}
		if same := granted.Narrow(granted); same.String() != granted.String() {
			t.Fatalf("%q narrowed to itself is %q", granted, same)
		}
	})
}

func FuzzParseScopes(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		scopes, err := policy.ParseScopes(s)
		if err != nil {
			if !errors.Is(err, policy.ErrInvalidScope) || scopes != nil {
				t.Fatalf("ParseScopes(%q) = %v, %v", s, scopes, err)
			}
			return
		}
		if scopes.String() != s || len(scopes) > policy.MaxScopes {
			t.Fatalf("ParseScopes(%q) = %d scopes, %q", s, len(scopes), scopes)
		}
		for _, sc := range scopes {
			if !sc.Action.Valid() || sc.Pattern.IsZero() || strings.HasPrefix(sc.Pattern.String(), "**/") {
				t.Fatalf("ParseScopes(%q) holds %q", s, sc)
			}
		}
	})
}
