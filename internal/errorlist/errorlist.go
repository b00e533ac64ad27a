// Package errorlist tells of everything that is wrong at once, so that it can be corrected at once.
package errorlist

import "strings"

// List is errors of one kind, in the order in which they are told. An empty one is no error: return nil in its place.
type List[E error] []E

// Error is one line for each.
func (l List[E]) Error() string {
	lines := make([]string, len(l))
	for i := range l {
		lines[i] = l[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each to errors.As.
func (l List[E]) Unwrap() []error {
	out := make([]error, len(l))
	for i := range l {
		out[i] = l[i]
	}
	return out
}
