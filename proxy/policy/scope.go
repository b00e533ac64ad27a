package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// MaxScopes is how many scopes one token may carry.
const MaxScopes = 32

// ErrInvalidScope is wrapped by every error of the scope parsers.
var ErrInvalidScope = errors.New("invalid scope")

// Scope permits one action on the paths of a pattern: "ACTION:PATTERN".
type Scope struct {
	Action  Action
	Pattern secret.Pattern
}

// ParseScope parses "ACTION:PATTERN".
func ParseScope(s string) (Scope, error) {
	action, pattern, ok := strings.Cut(s, ":")
	if !ok {
		return Scope{}, fmt.Errorf("%w %.80q: want ACTION:PATTERN, as in read:web/production/*", ErrInvalidScope, s)
	}
	if !Action(action).Valid() {
		return Scope{}, fmt.Errorf("%w: action %.80q is not one of read, list, write, invalidate, revoke, approve", ErrInvalidScope, action)
	}
	p, err := secret.ParsePattern(pattern)
	if err != nil {
		return Scope{}, fmt.Errorf("%w: %w", ErrInvalidScope, err)
	}
	return Scope{Action(action), p}, nil
}

// String is the form that ParseScope reads.
func (s Scope) String() string { return string(s.Action) + ":" + s.Pattern.String() }

// Scopes is a union: what any of them permits is permitted.
type Scopes []Scope

// ParseScopes parses the scope claim of RFC 6749 section 3.3: scopes separated by single spaces. Empty means none.
func ParseScopes(s string) (Scopes, error) {
	if s == "" {
		return nil, nil
	}
	words := strings.Split(s, " ")
	if len(words) > MaxScopes {
		return nil, fmt.Errorf("%w: %d scopes, at most %d are allowed", ErrInvalidScope, len(words), MaxScopes)
	}
	out := make(Scopes, 0, len(words))
	for _, w := range words {
		sc, err := ParseScope(w)
		if err != nil {
			return nil, err
		}
		out = append(out, sc)
	}
	return out, nil
}

// String is the form that ParseScopes reads.
func (s Scopes) String() string {
	words := make([]string, len(s))
	for i := range s {
		words[i] = s[i].String()
	}
	return strings.Join(words, " ")
}

// Allows reports whether a scope covers action on path.
func (s Scopes) Allows(a Action, p secret.Path) bool {
	for i := range s {
		if s[i].Action == a && s[i].Pattern.Match(p) {
			return true
		}
	}
	return false
}

// CanMatchUnder reports whether a scope for the action can match prefix or a path below it.
func (s Scopes) CanMatchUnder(a Action, prefix secret.Path) bool {
	for i := range s {
		if s[i].Action == a && s[i].Pattern.CanMatchUnder(prefix) {
			return true
		}
	}
	return false
}

// Root returns the longest path under which lies whatever the scopes for the action can match under prefix; prefix where
// none is longer.
func (s Scopes) Root(a Action, prefix secret.Path) secret.Path {
	root, found := prefix, false
	for i := range s {
		if s[i].Action != a || !s[i].Pattern.CanMatchUnder(prefix) {
			continue
		}
		r := s[i].Pattern.Root()
		if !found {
			root, found = r, true
		}
		for !r.Under(root) {
			root = root.Parent()
		}
	}
	if root.Under(prefix) {
		return root
	}
	return prefix
}

// Narrow keeps each asked scope that one scope of s covers. The result never permits what s does not.
func (s Scopes) Narrow(asked Scopes) Scopes {
	var out Scopes
	for _, a := range asked {
		for i := range s {
			if s[i].Action == a.Action && s[i].Pattern.Covers(a.Pattern) {
				out = append(out, a)
				break
			}
		}
	}
	return out
}
