package secret_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func mustPattern(t testing.TB, s string) secret.Pattern {
	t.Helper()
	p, err := secret.ParseConfigPattern(s)
	if err != nil {
		t.Fatalf("ParseConfigPattern(%q): %v", s, err)
	}
	return p
}

func TestParsePattern(t *testing.T) {
	for _, tt := range []struct {
		pattern       string
		token, config bool // accepted by ParsePattern, by ParseConfigPattern
	}{
		{"a", true, true},
		{"web/production/STRIPE_KEY", true, true},
		{"*", true, true},
		{"web/*/KEY", true, true},
		{"web/production/STRIPE_*", true, true},
		{"w*/p*/*", true, true},
		{".*", true, true},
		{"..*", true, true},
		{"...", true, true},
		{"**", true, true},
		{"web/**", true, true},
		{"*/**", true, true},
		{segments(15) + "/**", true, true},
		{strings.Repeat("s", 127) + "*", true, true},
		{bytesLong(512), true, true},

		{"**/KEY", false, true},
		{"**/STRIPE_*", false, true},
		{"**/**", false, true},
		{"**/a/**", false, true},

		{"", false, false},
		{"/", false, false},
		{"/a", false, false},
		{"a/", false, false},
		{"a//b", false, false},
		{"**/", false, false},
		{".", false, false},
		{"..", false, false},
		{"a/../b", false, false},
		{"a/**/b", false, false},
		{"**/**/a", false, false},
		{"**/a/**/b", false, false},
		{"a**", false, false},
		{"**a", false, false},
		{"***", false, false},
		{"*a", false, false},
		{"a*b", false, false},
		{"*a*", false, false},
		{"a/b**", false, false},
		{"a?", false, false},
		{"[a]", false, false},
		{"{a}", false, false},
		{"a b", false, false},
		{"a:b", false, false},
		{"a%2fb", false, false},
		{"é*", false, false},
		{"a\x00*", false, false},
		{segments(17), false, false},
		{segments(16) + "/**", false, false},
		{"**/" + segments(16), false, false},
		{strings.Repeat("s", 129), false, false},
		{strings.Repeat("s", 128) + "*", false, false},
		{bytesLong(513), false, false},
	} {
		for _, parser := range []struct {
			name  string
			parse func(string) (secret.Pattern, error)
			want  bool
		}{{"ParsePattern", secret.ParsePattern, tt.token}, {"ParseConfigPattern", secret.ParseConfigPattern, tt.config}} {
			p, err := parser.parse(tt.pattern)
			switch {
			case parser.want && err != nil:
				t.Errorf("%s(%q): %v", parser.name, tt.pattern, err)
			case parser.want && p.String() != tt.pattern:
				t.Errorf("%s(%q).String() = %q", parser.name, tt.pattern, p.String())
			case !parser.want && !errors.Is(err, secret.ErrInvalidPattern):
				t.Errorf("%s(%q) = %v, want ErrInvalidPattern", parser.name, tt.pattern, err)
			case !parser.want && !p.IsZero():
				t.Errorf("%s(%q) returned a pattern with its error", parser.name, tt.pattern)
			}
		}
	}
}

func TestPatternMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		match   string // paths separated by spaces
		not     string
	}{
		{"a", "a", "b aa a/b A"},
		{"a/b", "a/b", "a b a/b/c a/bb"},
		{"*", "a zz .env", "a/b"},
		{"a/*", "a/b a/bb", "a a/b/c b/a"},
		{"a/*/c", "a/b/c a/x/c", "a/c a/b/b/c a/b/d"},
		{"STRIPE_*", "STRIPE_ STRIPE_KEY", "STRIPE stripe_KEY STRIPE_/KEY"},
		{"web/S*", "web/S web/SK", "web/K web web/S/K"},
		{".*", ".env .x ...", "env"},
		{"**", "a a/b a/b/c/d", ""},
		{"a/**", "a/b a/b/c", "a aa/b b/a"},
		{"a/b*/**", "a/b/c a/bc/d/e", "a/b a/c/d"},
		{"**/k", "a/k a/b/k k/k", "k a/kk a/k/b"},
		{"**/S_*", "a/S_ a/b/S_1", "S_1 a/S_1/b"},
		{"**/a/b", "x/a/b a/b/a/b x/a/a/b", "a/b x/a/b/c"},
		{"**/**", "a/b a/b/c", "a"},
		{"**/a/**", "x/a/y x/a/a a/a/a", "a/a x/a a/y"},
	} {
		p := mustPattern(t, tt.pattern)
		for _, s := range strings.Fields(tt.match) {
			if !p.Match(mustPath(t, s)) {
				t.Errorf("%q does not match %q", tt.pattern, s)
			}
		}
		for _, s := range strings.Fields(tt.not) {
			if p.Match(mustPath(t, s)) {
				t.Errorf("%q matches %q", tt.pattern, s)
			}
		}
		if p.Match(secret.Path{}) {
			t.Errorf("%q matches the zero Path", tt.pattern)
		}
	}
}

func TestZeroPatternMatchesNothing(t *testing.T) {
	var zero secret.Pattern
	all := mustPattern(t, "**")
	switch p := mustPath(t, "a"); {
	case zero.Match(p), zero.Match(secret.Path{}):
		t.Error("the zero Pattern matches")
	case zero.CanMatchUnder(p), zero.CanMatchUnder(secret.Path{}):
		t.Error("the zero Pattern can match")
	case zero.Covers(zero), zero.Covers(all), all.Covers(zero):
		t.Error("the zero Pattern covers or is covered")
	case !zero.IsZero(), all.IsZero():
		t.Error("IsZero is wrong")
	}
}

func TestExactlyAndBelow(t *testing.T) {
	a, ab := mustPath(t, "a"), mustPath(t, "a/b")
	if p := secret.Exactly(a); !p.Match(a) || p.Match(ab) {
		t.Errorf("Exactly(a) = %q", p)
	}
	if p, err := secret.Below(a); err != nil || p.Match(a) || !p.Match(ab) {
		t.Errorf("Below(a) = %q, %v", p, err)
	}
	if p, err := secret.Below(secret.Path{}); err != nil || !p.Match(a) || !p.Match(ab) {
		t.Errorf("Below(zero) = %q, %v", p, err)
	}
	if p, err := secret.Below(mustPath(t, segments(secret.MaxPathSegments))); !errors.Is(err, secret.ErrInvalidPattern) {
		t.Errorf("Below of the deepest path = %q, %v, want ErrInvalidPattern", p, err)
	}
	if !secret.Exactly(secret.Path{}).IsZero() {
		t.Error("Exactly of the zero Path is not the zero Pattern")
	}
}

func TestPatternCovers(t *testing.T) {
	for _, tt := range []struct {
		p, q string
		want bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a/c", false},
		{"a/*", "a/b", true},
		{"a/b", "a/*", false},
		{"a/S*", "a/ST*", true},
		{"a/ST*", "a/S*", false},
		{"a/S*", "a/S", true},
		{"a/S*", "a/*", false},
		{"a/*", "a/S*", true},
		{"*/b", "a/b", true},
		{"a/*", "a/**", false},
		{"a/**", "a/*", true},
		{"a/**", "a/b/**", true},
		{"a/b/**", "a/**", false},
		{"a/**", "a", false},
		{"a/**", "**", false},
		{"**", "a", true},
		{"**", "a/**", true},
		{"**", "**", true},
		{"*/**", "a/**", true},
		{"*/**", "**", false},
		{"a*/**", "ab*/c", true},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"**/a", "**/a", true},
		{"**/a", "b/a", false}, // true of the paths, but narrowing never meets a leading "**"
		{"**/a", "*/a", false},
		{"**", "**/a", false},
	} {
		if got := mustPattern(t, tt.p).Covers(mustPattern(t, tt.q)); got != tt.want {
			t.Errorf("%q covers %q = %v", tt.p, tt.q, got)
		}
	}
}

func TestPatternMatchAllocatesNothing(t *testing.T) {
	pats := []secret.Pattern{mustPattern(t, "web/*/S*"), mustPattern(t, "**/b/S_*"), mustPattern(t, "web/**")}
	path := mustPath(t, "web/production/b/S_KEY")
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range pats {
			p.Match(path)
			p.CanMatchUnder(path)
			p.Covers(pats[0])
		}
	}); n != 0 {
		t.Errorf("matching allocates %v times", n)
	}
}

func TestPatternPath(t *testing.T) {
	for text, want := range map[string]bool{"a/b": true, "a": true, "a/*": false, "a/b*": false, "**": false, "*": false, "a/**": false} {
		p, err := secret.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		path, ok := p.Path()
		if ok != want || ok && path.String() != text || !ok && !path.IsZero() {
			t.Errorf("%s: got %q, %t", text, path, ok)
		}
	}
	if path, ok := (secret.Pattern{}).Path(); ok || !path.IsZero() {
		t.Errorf("the zero pattern: got %q, %t", path, ok)
	}
}

func TestRoot(t *testing.T) {
	for pattern, want := range map[string]string{
		"a": "", "a/b": "a", "a/b/c": "a/b", "a/b/**": "a/b", "a/b/*": "a/b", "a/b/c*": "a/b", "a/b*/c": "a", "a/*/c": "a",
		"*": "", "**": "", "a*": "", "**/a": "", "**/a/b": "",
	} {
		p, err := secret.ParseConfigPattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Root().String(); got != want {
			t.Errorf("the root of %q is %q, want %q", pattern, got, want)
		}
	}
	if got := (secret.Pattern{}).Root(); !got.IsZero() {
		t.Errorf("the root of nothing is %q", got)
	}
}
