package secret_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func mustPath(t testing.TB, s string) secret.Path {
	t.Helper()
	p, err := secret.ParsePath(s)
	if err != nil {
		t.Fatalf("ParsePath(%q): %v", s, err)
	}
	return p
}

// segments joins n one-byte segments.
func segments(n int) string { return strings.TrimSuffix(strings.Repeat("a/", n), "/") }

// bytesLong is a path of n bytes, n >= 129, whose segments are all within their limit.
func bytesLong(n int) string {
	s := strings.Repeat(strings.Repeat("b", 99)+"/", n/100) + strings.Repeat("c", n%100)
	return strings.TrimSuffix(s, "/")
}

func TestParsePathAccepts(t *testing.T) {
	for _, s := range []string{
		"a", "Z", "0", "-", "_", "...", ".env", "a.", "..a", "a..b",
		"web/production/STRIPE_KEY",
		"A-Za-z0-9._-/x",
		strings.Repeat("s", secret.MaxSegmentBytes),
		segments(secret.MaxPathSegments),
		bytesLong(secret.MaxPathBytes),
	} {
		p, err := secret.ParsePath(s)
		if err != nil {
			t.Errorf("ParsePath(%q): %v", s, err)
			continue
		}
		if p.String() != s {
			t.Errorf("ParsePath(%q).String() = %q", s, p.String())
		}
		if p.IsZero() {
			t.Errorf("ParsePath(%q) is zero", s)
		}
	}
}

func TestParsePathRefuses(t *testing.T) {
	for name, s := range map[string]string{
		"empty":                "",
		"slash":                "/",
		"leading slash":        "/a",
		"trailing slash":       "a/",
		"empty segment":        "a//b",
		"dot":                  ".",
		"dot dot":              "..",
		"dot inside":           "a/./b",
		"dot dot inside":       "a/../b",
		"dot dot at the end":   "a/..",
		"percent":              "a%2fb",
		"percent dots":         "%2e%2e/a",
		"space":                "a b",
		"plus":                 "a+b",
		"star":                 "a/*",
		"colon":                "a:b",
		"backslash":            `a\b`,
		"NUL":                  "a\x00b",
		"newline":              "a\n",
		"DEL":                  "a\x7f",
		"high byte":            "a\x80",
		"e acute":              "é",
		"fullwidth dots":       "a/．．/b",
		"fullwidth slash":      "a／b",
		"division slash":       "a∕b",
		"long s":               "ſecret",
		"kelvin sign":          "\u212aey",
		"bidi override":        "a\u202eb",
		"one segment too many": segments(secret.MaxPathSegments + 1),
		"one byte too many":    bytesLong(secret.MaxPathBytes + 1),
		"segment too long":     strings.Repeat("s", secret.MaxSegmentBytes+1),
		"segment too long 2":   "a/" + strings.Repeat("s", secret.MaxSegmentBytes+1) + "/b",
	} {
		t.Run(name, func(t *testing.T) {
			p, err := secret.ParsePath(s)
			if !errors.Is(err, secret.ErrInvalidPath) {
				t.Errorf("ParsePath(%q) = %v, want ErrInvalidPath", s, err)
			}
			if !p.IsZero() {
				t.Errorf("ParsePath(%q) returned the path %q with its error", s, p)
			}
		})
	}
}

func TestPathJoin(t *testing.T) {
	base := mustPath(t, "web/production")
	got, err := base.Join("STRIPE/KEY")
	if err != nil || got != mustPath(t, "web/production/STRIPE/KEY") {
		t.Errorf("Join = %q, %v", got, err)
	}
	if got, err := (secret.Path{}).Join("a/b"); err != nil || got.String() != "a/b" {
		t.Errorf("Join to the zero Path = %q, %v", got, err)
	}
	for _, rest := range []string{"", "/a", "../staging/KEY", ".", "a/", "a%2f", segments(secret.MaxPathSegments - 1)} {
		if got, err := base.Join(rest); !errors.Is(err, secret.ErrInvalidPath) {
			t.Errorf("Join(%q) = %q, %v, want ErrInvalidPath", rest, got, err)
		}
	}
	if got, err := (secret.Path{}).Join(""); !errors.Is(err, secret.ErrInvalidPath) {
		t.Errorf("zero.Join(\"\") = %q, %v, want ErrInvalidPath", got, err)
	}
}

// Under goes by whole segments: "web/prod" is no prefix of "web/production".
func TestPathUnderAndRel(t *testing.T) {
	for _, tt := range []struct {
		path, prefix string
		under        bool
		rel          string
	}{
		{"web/prod/KEY", "web/prod", true, "KEY"},
		{"web/prod/a/b", "web", true, "prod/a/b"},
		{"web/prod", "web/prod", true, ""},
		{"web/production", "web/prod", false, ""},
		{"web", "web/prod", false, ""},
		{"web-x/prod", "web", false, ""},
		{"xweb/prod", "web", false, ""},
	} {
		p, prefix := mustPath(t, tt.path), mustPath(t, tt.prefix)
		if got := p.Under(prefix); got != tt.under {
			t.Errorf("%q.Under(%q) = %v", tt.path, tt.prefix, got)
		}
		if !tt.under {
			continue
		}
		if got := p.Rel(prefix); got != tt.rel {
			t.Errorf("%q.Rel(%q) = %q, want %q", tt.path, tt.prefix, got, tt.rel)
		}
	}
	p := mustPath(t, "a/b")
	if !p.Under(secret.Path{}) || p.Rel(secret.Path{}) != "a/b" {
		t.Error("not every path lies under the zero Path")
	}
	if (secret.Path{}).Under(p) {
		t.Error("the zero Path lies under a/b")
	}
}

func TestPathSegments(t *testing.T) {
	if got := (secret.Path{}).Segments(); got != 0 {
		t.Errorf("zero Path has %d segments", got)
	}
	for n := 1; n <= secret.MaxPathSegments; n++ {
		if got := mustPath(t, segments(n)).Segments(); got != n {
			t.Errorf("Segments() = %d, want %d", got, n)
		}
	}
}

const pathAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// validPath says the rules of Path once more.
func validPath(s string) bool {
	segs := strings.Split(s, "/")
	return len(s) <= 512 && len(segs) <= 16 && !slices.ContainsFunc(segs, func(seg string) bool {
		return seg == "" || len(seg) > 128 || seg == "." || seg == ".." || strings.Trim(seg, pathAlphabet) != ""
	})
}

func FuzzParsePath(f *testing.F) {
	f.Fuzz(func(t *testing.T, s string) {
		want := validPath(s)
		p, err := secret.ParsePath(s)
		if got := err == nil; got != want {
			t.Fatalf("ParsePath(%q) accepted = %v, want %v (%v)", s, got, want, err)
		}
		if err != nil {
			if !errors.Is(err, secret.ErrInvalidPath) {
				t.Fatalf("ParsePath(%q) = %v, which is not ErrInvalidPath", s, err)
			}
			return
		}
		if p.String() != s {
			t.Fatalf("ParsePath(%q) changed it to %q", s, p)
		}
		if got, want := p.Segments(), strings.Count(s, "/")+1; got != want {
			t.Fatalf("Segments() = %d, want %d", got, want)
		}
		if !secret.Exactly(p).Match(p) {
			t.Fatalf("Exactly(%q) does not match it", s)
		}
	})
}
