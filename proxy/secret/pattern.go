package secret

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalidPattern is wrapped by every error of the pattern parsers.
var ErrInvalidPattern = errors.New("invalid pattern")

// Pattern matches paths by whole segments. It is the one pattern language: scopes, labels, approvals, revocations and
// invalidations all use it. A segment is literal, or literal characters and one trailing "*" (any rest of that segment;
// alone: exactly one whole segment). The segment "**" may stand last, for one or more segments, and in configuration
// also first. At most 16 segments and 512 bytes. The zero Pattern matches nothing.
type Pattern struct{ s string }

// ParsePattern parses a pattern as tokens and requests may carry it: "**" only last.
func ParsePattern(s string) (Pattern, error) { return parsePattern(s, false) }

// ParseConfigPattern also lets "**" stand first.
func ParseConfigPattern(s string) (Pattern, error) { return parsePattern(s, true) }

// Everything returns the pattern that matches every path.
func Everything() Pattern { return Pattern{"**"} }

// Exactly returns the pattern that matches p alone.
func Exactly(p Path) Pattern { return Pattern(p) }

// Below returns the pattern that matches every path below p, not p itself; below the zero Path lies everything.
func Below(p Path) (Pattern, error) {
	if p.IsZero() {
		return Pattern{"**"}, nil
	}
	return ParsePattern(p.s + "/**")
}

// JustBelow returns the pattern that matches every path one segment below p. It fails only where there is none.
func JustBelow(p Path) (Pattern, error) {
	if p.IsZero() {
		return Pattern{"*"}, nil
	}
	return ParsePattern(p.s + "/*")
}

func parsePattern(s string, config bool) (Pattern, error) {
	if len(s) > MaxPathBytes {
		return Pattern{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrInvalidPattern, len(s), MaxPathBytes)
	}
	n := 0
	for rest, more := s, true; more; n++ {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		if seg == "**" {
			if more && (n > 0 || !config) {
				return Pattern{}, fmt.Errorf(`%w %q: "**" may stand only as the last segment`, ErrInvalidPattern, s)
			}
			continue
		}
		literal := strings.TrimSuffix(seg, "*")
		if literal == "" && seg == "*" {
			continue
		}
		for i := range len(literal) {
			if !segmentByte(literal[i]) {
				return Pattern{}, fmt.Errorf("%w %q: byte %q in segment %d", ErrInvalidPattern, s, literal[i], n+1)
			}
		}
		// "." and ".." alone can match no path; with a star they can (".*" matches ".env").
		if err := checkSegment(seg); err != nil {
			return Pattern{}, fmt.Errorf("%w %q: segment %d is empty, a dot segment or too long", ErrInvalidPattern, s, n+1)
		}
	}
	if n > MaxPathSegments {
		return Pattern{}, fmt.Errorf("%w: %d segments, at most %d are allowed", ErrInvalidPattern, n, MaxPathSegments)
	}
	return Pattern{s}, nil
}

// String returns the pattern as it was parsed.
func (p Pattern) String() string { return p.s }

// IsZero reports whether p is the zero Pattern, which matches nothing.
func (p Pattern) IsZero() bool { return p.s == "" }

// Path returns the one path that p matches, false where p has a wildcard and may match more.
func (p Pattern) Path() (path Path, ok bool) {
	if p.s == "" || strings.Contains(p.s, "*") {
		return Path{}, false
	}
	return Path(p), true
}

// Match reports whether p matches the whole of path. It allocates nothing.
func (p Pattern) Match(path Path) bool {
	if p.s == "" || path.s == "" {
		return false
	}
	pat, rest := p.s, path.s
	if tail, ok := strings.CutPrefix(pat, "**/"); ok {
		// A leading "**" takes one or more segments: try each remaining suffix.
		for {
			_, after, more := strings.Cut(rest, "/")
			if !more {
				return false
			}
			if matchFrom(tail, after) {
				return true
			}
			rest = after
		}
	}
	return matchFrom(pat, rest)
}

func matchFrom(pat, path string) bool {
	for {
		if pat == "**" {
			return true
		}
		pseg, prest, pmore := strings.Cut(pat, "/")
		seg, rest, more := strings.Cut(path, "/")
		if !matchSegment(pseg, seg) || pmore != more {
			return false
		}
		if !pmore {
			return true
		}
		pat, path = prest, rest
	}
}

// MatchJustBelow reports whether p can match a path one segment below path. It does not count against the limits of a
// path, as CanMatchUnder does not.
func (p Pattern) MatchJustBelow(path Path) bool {
	tail, ok := strings.CutPrefix(p.s, "**/")
	if !ok {
		return p.s != "" && matchJustBelow(p.s, path.s)
	}
	// As in Match: a leading "**" takes one or more segments, here of path.
	for rest := path.s; rest != ""; {
		_, rest, _ = strings.Cut(rest, "/")
		if matchJustBelow(tail, rest) {
			return true
		}
	}
	return false
}

func matchJustBelow(pat, path string) bool {
	for pat != "**" && path != "" {
		pseg, prest, more := strings.Cut(pat, "/")
		var seg string
		seg, path, _ = strings.Cut(path, "/")
		if !more || !matchSegment(pseg, seg) {
			return false
		}
		pat = prest
	}
	return !strings.Contains(pat, "/") // one segment, which some name matches
}

func matchSegment(pat, seg string) bool {
	if n := len(pat) - 1; n >= 0 && pat[n] == '*' {
		return strings.HasPrefix(seg, pat[:n])
	}
	return pat == seg
}

// Covers reports whether every path that q matches is matched by p, segment by segment. Where either starts with "**"
// it answers true only for equal patterns: narrowing never meets them.
func (p Pattern) Covers(q Pattern) bool {
	if p.s == "" || q.s == "" {
		return false
	}
	if p.s == q.s {
		return true
	}
	if strings.HasPrefix(p.s, "**/") || strings.HasPrefix(q.s, "**/") {
		return false
	}
	pat, sub := p.s, q.s
	for {
		if pat == "**" {
			return true
		}
		pseg, prest, pmore := strings.Cut(pat, "/")
		qseg, qrest, qmore := strings.Cut(sub, "/")
		if qseg == "**" || !coversSegment(pseg, qseg) || pmore != qmore {
			return false
		}
		if !pmore {
			return true
		}
		pat, sub = prest, qrest
	}
}

func coversSegment(p, q string) bool {
	if n := len(p) - 1; n >= 0 && p[n] == '*' {
		return strings.HasPrefix(q, p[:n])
	}
	return p == q
}

// Root returns the longest path below which lies every path that p matches: the literal segments before the first that is
// not, or all but the last.
func (p Pattern) Root() Path {
	s := p.s
	if i := strings.IndexByte(s, '*'); i >= 0 {
		s = s[:i]
	}
	return Path{s}.Parent()
}

// CanMatchUnder reports whether p can match prefix itself or any path below it. It does not count against the limits
// of a path: where only a path over them would match, it may still say true.
func (p Pattern) CanMatchUnder(prefix Path) bool {
	if p.s == "" {
		return false
	}
	if prefix.s == "" || strings.HasPrefix(p.s, "**") {
		return true
	}
	pat, rest := p.s, prefix.s
	for {
		if pat == "**" {
			return true
		}
		pseg, prest, pmore := strings.Cut(pat, "/")
		seg, after, more := strings.Cut(rest, "/")
		if !matchSegment(pseg, seg) {
			return false
		}
		if !more {
			return true
		}
		if !pmore {
			return false
		}
		pat, rest = prest, after
	}
}
