package strictjson

import (
	"errors"
	"fmt"
)

var (
	// ErrSyntax is wrapped where the text is not the JSON that this package takes: the sender must fix the document.
	ErrSyntax = errors.New("invalid JSON")
	// ErrTooLarge is wrapped where the document exceeds one of the Limits: the sender must send less.
	ErrTooLarge = errors.New("JSON document too large")
)

// SyntaxError is every error of Parse; it wraps ErrSyntax or ErrTooLarge. It tells where and what, and never quotes a
// name or a string of the document, since either may be a secret: at most the one byte that stands where none may.
type SyntaxError struct {
	Line, Col int // 1-based, Col counts bytes; both 0 where the document as a whole is meant
	Msg       string
	err       error
}

// Error gives the position and the message.
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%v: %s", e.err, e.Msg)
	}
	return fmt.Sprintf("%v at line %d, column %d: %s", e.err, e.Line, e.Col, e.Msg)
}

// Unwrap returns ErrSyntax or ErrTooLarge.
func (e *SyntaxError) Unwrap() error { return e.err }
