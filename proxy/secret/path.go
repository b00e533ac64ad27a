package secret

import (
	"errors"
	"fmt"
	"strings"
)

// Limits of a path, in segments and bytes.
const (
	MaxPathSegments = 16
	MaxPathBytes    = 512
	MaxSegmentBytes = 128
)

// ErrInvalidPath is wrapped by every error of ParsePath. The caller should fix the path: nothing is ever cleaned.
var ErrInvalidPath = errors.New("invalid path")

// Path names one secret: 1-16 segments of [A-Za-z0-9._-]{1,128} joined by "/", at most 512 bytes, no "." or ".."
// segment. A non-zero Path is valid by construction; the zero Path names nothing. Paths are comparable.
type Path struct{ s string }

// ParsePath checks s against the rules of Path. Percent escapes must have been decoded already.
func ParsePath(s string) (Path, error) {
	if len(s) > MaxPathBytes {
		return Path{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrInvalidPath, len(s), MaxPathBytes)
	}
	n, start := 0, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '/' {
			if !segmentByte(s[i]) {
				return Path{}, fmt.Errorf("%w: byte %q at offset %d; segments hold A-Z a-z 0-9 . _ - only", ErrInvalidPath, s[i], i)
			}
			continue
		}
		if err := checkSegment(s[start:i]); err != nil {
			return Path{}, err
		}
		n, start = n+1, i+1
	}
	if n > MaxPathSegments {
		return Path{}, fmt.Errorf("%w: %d segments, at most %d are allowed", ErrInvalidPath, n, MaxPathSegments)
	}
	return Path{s}, nil
}

func checkSegment(seg string) error {
	switch {
	case seg == "":
		return fmt.Errorf("%w: empty segment", ErrInvalidPath)
	case seg == "." || seg == "..":
		return fmt.Errorf("%w: segment %q", ErrInvalidPath, seg)
	case len(seg) > MaxSegmentBytes:
		return fmt.Errorf("%w: segment of %d bytes, at most %d are allowed", ErrInvalidPath, len(seg), MaxSegmentBytes)
	}
	return nil
}

func segmentByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

// String returns the path as it was parsed; "" for the zero Path.
func (p Path) String() string { return p.s }

// IsZero reports whether p names nothing.
func (p Path) IsZero() bool { return p.s == "" }

// Join appends the path rest, validating the result. Joining to the zero Path gives rest itself.
func (p Path) Join(rest string) (Path, error) {
	if p.IsZero() {
		return ParsePath(rest)
	}
	return ParsePath(p.s + "/" + rest)
}

// Under reports whether p is prefix itself or below it, by whole segments. Every path is under the zero Path.
func (p Path) Under(prefix Path) bool {
	return prefix.s == "" || p.s == prefix.s ||
		len(p.s) > len(prefix.s) && p.s[len(prefix.s)] == '/' && strings.HasPrefix(p.s, prefix.s)
}

// Rel returns what follows prefix and its "/" in p: "" when p is the prefix itself. It is meaningful only where
// p.Under(prefix).
func (p Path) Rel(prefix Path) string {
	switch {
	case prefix.s == "":
		return p.s
	case p.s == prefix.s:
		return ""
	}
	return p.s[len(prefix.s)+1:]
}

// Parent is p without its last segment: the zero Path for one of a single segment, and for itself.
func (p Path) Parent() Path { return Path{p.s[:max(strings.LastIndexByte(p.s, '/'), 0)]} }

// Name is the last segment of p.
func (p Path) Name() string { return p.s[strings.LastIndexByte(p.s, '/')+1:] }

// Segments counts the segments of p.
func (p Path) Segments() int {
	if p.s == "" {
		return 0
	}
	return strings.Count(p.s, "/") + 1
}
