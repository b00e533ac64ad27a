package secret_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// The alphabets are tiny on purpose: patterns and paths drawn from them meet each other often, and every path of up
// to four segments can be tried.
var (
	pathSegments    = []string{"a", "b", "ab", ".a"}
	patternSegments = []string{"a", "b", "ab", "a*", "b*", "ab*", ".*", "*"}
	allPaths        = enumerate(4)
)

func enumerate(depth int) []string {
	var out []string
	level := []string{""}
	for range depth {
		var next []string
		for _, base := range level {
			for _, seg := range pathSegments {
				next = append(next, strings.TrimPrefix(base+"/"+seg, "/"))
			}
		}
		out, level = append(out, next...), next
	}
	return out
}

func drawPattern(t *rapid.T, label string, config bool) secret.Pattern {
	segs := rapid.SliceOfN(rapid.SampledFrom(patternSegments), 1, 3).Draw(t, label)
	if rapid.Bool().Draw(t, label+" last **") {
		segs = append(segs[:len(segs)-1:len(segs)-1], "**")
	}
	if config && rapid.Bool().Draw(t, label+" first **") {
		segs = append([]string{"**"}, segs...)
	}
	p, err := secret.ParseConfigPattern(strings.Join(segs, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// refMatch is the meaning of a pattern, by recursion over the split segments.
func refMatch(pat, path []string) bool {
	switch {
	case len(pat) == 0 || len(path) == 0:
		return len(pat) == len(path)
	case pat[0] == "**":
		for n := 1; n <= len(path); n++ {
			if refMatch(pat[1:], path[n:]) {
				return true
			}
		}
		return false
	}
	prefix, star := strings.CutSuffix(pat[0], "*")
	if star && !strings.HasPrefix(path[0], prefix) || !star && pat[0] != path[0] {
		return false
	}
	return refMatch(pat[1:], path[1:])
}

// What p can match just below a path is what it matches of the paths there, of which these segments are examples enough:
// one for each pattern segment.
func TestMatchJustBelowAgreesWithMatch(t *testing.T) {
	parents := append([]secret.Path{{}}, parseAll(t, enumerate(3))...)
	rapid.Check(t, func(t *rapid.T) {
		p := drawPattern(t, "p", true)
		for _, parent := range parents {
			want := false
			for _, name := range []string{"a", "b", "ab", ".a", "zz"} {
				child, err := parent.Join(name)
				if err != nil {
					t.Fatal(err)
				}
				want = want || p.Match(child)
				if child.Parent() != parent || child.Name() != name {
					t.Fatalf("%q is %q below %q", child, child.Name(), child.Parent())
				}
				just, err := secret.JustBelow(parent)
				if err != nil || !just.Match(child) || just.Match(parent) || !just.MatchJustBelow(parent) {
					t.Fatalf("just below %q is %q, %v", parent, just, err)
				}
			}
			if got := p.MatchJustBelow(parent); got != want {
				t.Fatalf("%q matches just below %q = %v, want %v", p, parent, got, want)
			}
		}
	})
}

func TestMatchAgreesWithItsDefinition(t *testing.T) {
	paths := parseAll(t, allPaths)
	rapid.Check(t, func(t *rapid.T) {
		p := drawPattern(t, "p", true)
		split := strings.Split(p.String(), "/")
		for i, path := range paths {
			if got, want := p.Match(path), refMatch(split, strings.Split(allPaths[i], "/")); got != want {
				t.Fatalf("%q matches %q = %v, want %v", p, path, got, want)
			}
		}
	})
}

// Covers never promises too much, and for patterns that tokens may carry it misses nothing either.
func TestCoversIsInclusion(t *testing.T) {
	paths := parseAll(t, allPaths)
	included := func(p, q secret.Pattern) bool {
		for _, path := range paths {
			if q.Match(path) && !p.Match(path) {
				return false
			}
		}
		return true
	}
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPattern(t, "p", true), drawPattern(t, "q", true)
		if p.Covers(q) && !included(p, q) {
			t.Fatalf("%q covers %q, but some path matches the second alone", p, q)
		}
	})
	// Inclusion over a finite set of paths is weaker than inclusion, so completeness is asked of literals only.
	rapid.Check(t, func(t *rapid.T) {
		p, path := drawPattern(t, "p", false), rapid.SampledFrom(paths).Draw(t, "path")
		if q := secret.Exactly(path); p.Covers(q) != p.Match(path) {
			t.Fatalf("%q covers exactly %q = %v, matches = %v", p, path, p.Covers(q), p.Match(path))
		}
	})
}

func TestCoversIsAPreorder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q, r := drawPattern(t, "p", false), drawPattern(t, "q", false), drawPattern(t, "r", false)
		if !p.Covers(p) {
			t.Fatalf("%q does not cover itself", p)
		}
		if p.Covers(q) && q.Covers(r) && !p.Covers(r) {
			t.Fatalf("%q covers %q covers %q, but not the first the last", p, q, r)
		}
	})
}

// Prefixes are up to two segments deep and patterns up to four, so allPaths holds a witness wherever one exists.
func TestCanMatchUnderIsExact(t *testing.T) {
	paths, prefixes := parseAll(t, enumerate(6)), parseAll(t, enumerate(2))
	rapid.Check(t, func(t *rapid.T) {
		p, prefix := drawPattern(t, "p", true), rapid.SampledFrom(prefixes).Draw(t, "prefix")
		want := false
		for _, path := range paths {
			if path.Under(prefix) && p.Match(path) {
				want = true
				break
			}
		}
		if got := p.CanMatchUnder(prefix); got != want {
			t.Fatalf("%q can match under %q = %v, want %v", p, prefix, got, want)
		}
		if !p.CanMatchUnder(secret.Path{}) {
			t.Fatalf("%q can match nothing at all", p)
		}
	})
}

func TestWhatAPatternMatchesLiesBelowItsRoot(t *testing.T) {
	paths := parseAll(t, enumerate(6))
	rapid.Check(t, func(t *rapid.T) {
		p := drawPattern(t, "p", true)
		root := p.Root()
		for _, path := range paths {
			if p.Match(path) && (!path.Under(root) || path == root) {
				t.Fatalf("the root of %q is %q, but it matches %q", p, root, path)
			}
		}
	})
}

func parseAll(t *testing.T, in []string) []secret.Path {
	t.Helper()
	out := make([]secret.Path, len(in))
	for i, s := range in {
		out[i] = mustPath(t, s)
	}
	return out
}

func FuzzParsePattern(f *testing.F) {
	f.Fuzz(func(t *testing.T, s, path string) {
		token, errToken := secret.ParsePattern(s)
		config, errConfig := secret.ParseConfigPattern(s)
		for _, err := range []error{errToken, errConfig} {
			if err != nil && !errors.Is(err, secret.ErrInvalidPattern) {
				t.Fatalf("parsing %q: %v, which is not ErrInvalidPattern", s, err)
			}
		}
		if errToken == nil && (errConfig != nil || token != config) {
			t.Fatalf("%q is good for tokens but not for configuration", s)
		}
		if errToken != nil && errConfig == nil && !strings.HasPrefix(s, "**/") {
			t.Fatalf("%q is good for configuration alone, but does not start with **/", s)
		}
		p, err := secret.ParsePath(path)
		if errConfig == nil && err == nil {
			split, segs := strings.Split(s, "/"), strings.Split(path, "/")
			if got, want := config.Match(p), refMatch(split, segs); got != want {
				t.Fatalf("%q matches %q = %v, want %v", s, path, got, want)
			}
			if config.Match(p) && !config.CanMatchUnder(p) {
				t.Fatalf("%q matches %q but cannot match under it", s, path)
			}
		}
		// A pattern without a star is a path, under the same rules.
		if !strings.Contains(s, "*") {
			if _, err := secret.ParsePath(s); (err == nil) != (errToken == nil) {
				t.Fatalf("%q: as a path %v, as a pattern %v", s, err, errToken)
			}
		}
	})
}
