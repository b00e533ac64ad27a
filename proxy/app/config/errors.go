package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/errorlist"
)

// maxErrors bounds what one document is told; beyond it people fix the first ones first.
const maxErrors = 50

// Error is one problem of a document.
type Error struct {
	File       string // the file, or the environment variable that the value came from
	Line, Col  int    // 1-based, Col counts bytes; 0 where not known
	Key        string // as in mounts[0].cache.soft_ttl; "" for the whole document
	Msg        string
	Suggestion string // what was probably meant, if anything comes close
}

// Error is one line: FILE:LINE:COL: KEY: what is wrong; did you mean "…"?
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		if e.File != "" {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%d", e.Line)
		if e.Col > 0 {
			fmt.Fprintf(&b, ":%d", e.Col)
		}
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Msg)
	if e.Suggestion != "" {
		fmt.Fprintf(&b, "; did you mean %q?", e.Suggestion)
	}
	return b.String()
}

// Errors is every problem of a document, in the order of their places. The document must be corrected.
type Errors = errorlist.List[*Error]

// orNil sorts and bounds the list; an empty one is no error.
func orNil(e Errors) error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col), cmp.Compare(a.File, b.File), cmp.Compare(a.Key, b.Key))
	})
	if n := len(e) - maxErrors; n > 0 {
		e = append(e[:maxErrors:maxErrors], &Error{File: e[0].File, Msg: fmt.Sprintf("%d more problems", n)})
	}
	return e
}
