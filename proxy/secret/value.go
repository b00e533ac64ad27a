package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// MaxValueBytes bounds one secret: its value, or the names and values of its fields together.
const MaxValueBytes = 512 << 10

// Redacted is what a Value prints as, whatever the verb or encoder.
const Redacted = "[redacted]"

// ErrUnprintable is returned by every marshaller of Value.
var ErrUnprintable = errors.New("secret values cannot be marshalled; use Reveal where the value is meant to leave")

// Value is secret bytes. It cannot be printed, compared with ==, marshalled or logged; Reveal is the one way out. The
// zero Value is empty.
type Value struct {
	// The bytes stand in a closure because fmt prints an unexported field without calling methods, and with a verb
	// that does not suit a pointer (%s of a struct) it follows even that; it never looks into a function. Neither
	// does any other printer that works by reflection. A function also rules out ==.
	reveal func() []byte
}

// NewValue takes ownership of b: the caller must neither keep nor change it.
func NewValue(b []byte) Value { return Value{func() []byte { return b }} }

// Reveal returns the bytes themselves, not a copy. They are valid until Wipe.
func (v Value) Reveal() []byte {
	if v.reveal == nil {
		return nil
	}
	return v.reveal()
}

// Len is the length in bytes.
func (v Value) Len() int { return len(v.Reveal()) }

// Clone copies the bytes.
func (v Value) Clone() Value { return NewValue(append([]byte(nil), v.Reveal()...)) }

// Equal compares in time that depends on the lengths only.
func (v Value) Equal(o Value) bool { return subtle.ConstantTimeCompare(v.Reveal(), o.Reveal()) == 1 }

// Wipe overwrites the bytes with zeros. No other goroutine may be reading them.
func (v Value) Wipe() { clear(v.Reveal()) }

// String and the rest of the printing and marshalling methods never show the bytes.
func (v Value) String() string { return Redacted }

// GoString is for %#v.
func (v Value) GoString() string { return Redacted }

// Format covers every other verb, %x and %d included.
func (v Value) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, Redacted) }

// LogValue is for slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON always fails with ErrUnprintable.
func (v Value) MarshalJSON() ([]byte, error) { return nil, ErrUnprintable }

// MarshalText always fails with ErrUnprintable.
func (v Value) MarshalText() ([]byte, error) { return nil, ErrUnprintable }

// MarshalBinary always fails with ErrUnprintable; encoding/gob uses it too.
func (v Value) MarshalBinary() ([]byte, error) { return nil, ErrUnprintable }
