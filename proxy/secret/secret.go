// Package secret is the vocabulary of what Keyhole guards: paths and the patterns over them, values that cannot be
// printed, versions, and the contract that every upstream vault is adapted to. It imports the standard library only.
package secret

import (
	"errors"
	"fmt"
	"sort"
	"time"
	"unicode"
	"unicode/utf8"
)

// Version names one version of a secret, as its upstream names it. It is opaque: [A-Za-z0-9._-]{1,128}.
type Version string

// Selectors that name a version by its place. An upstream's own version never has these names.
const (
	Current  Version = "current"
	Previous Version = "previous"
)

// ErrInvalidVersion is wrapped by every error of ParseVersion.
var ErrInvalidVersion = errors.New("invalid version")

// ParseVersion checks a version or selector; "" means Current.
func ParseVersion(s string) (Version, error) {
	if s == "" {
		return Current, nil
	}
	if len(s) > MaxSegmentBytes {
		return "", fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrInvalidVersion, len(s), MaxSegmentBytes)
	}
	for i := range len(s) {
		if !segmentByte(s[i]) {
			return "", fmt.Errorf("%w: byte %q at offset %d", ErrInvalidVersion, s[i], i)
		}
	}
	return Version(s), nil
}

// Field is one named string of a secret that holds a map.
type Field struct {
	Name  string
	Value Value
}

// Limits of what a secret may carry besides its value.
const (
	MaxFields          = 256
	MaxFieldNameBytes  = 128
	MaxMetadataEntries = 64
	MaxMetadataBytes   = 16 << 10
)

// Secret is one version of a secret: either one opaque Value, or Fields sorted by name (non-nil, and Value is empty).
// Whoever holds a Secret owns its bytes until Wipe.
type Secret struct {
	Value     Value
	Fields    []Field
	Version   Version
	CreatedAt time.Time
	Metadata  map[string]string
	// Binary says that the upstream keeps Value as bytes and not as text, though it may be text. Upstreams that do not tell
	// the two apart leave it false.
	Binary bool

	// Age is how old the value was already when it was read, from an upstream that keeps values itself: as another Keyhole
	// tells of what it has cached. It is 0 where the vault itself was read, and never negative.
	Age time.Duration
	// Stale says that such an upstream keeps the value for longer than it may, because it cannot have a newer one.
	Stale bool
}

// ErrInvalidSecret is wrapped by every error of Secret.Check.
var ErrInvalidSecret = errors.New("invalid secret")

// SortFields puts fields in the bytewise order of their names, which Secret promises.
func SortFields(f []Field) { sort.Slice(f, func(i, j int) bool { return f[i].Name < f[j].Name }) }

// Field returns the named field.
func (s *Secret) Field(name string) (Value, bool) {
	i := sort.Search(len(s.Fields), func(i int) bool { return s.Fields[i].Name >= name })
	if i < len(s.Fields) && s.Fields[i].Name == name {
		return s.Fields[i].Value, true
	}
	return Value{}, false
}

// Size is the number of secret bytes: the value, or the names and values of all fields.
func (s *Secret) Size() int {
	n := s.Value.Len()
	for _, f := range s.Fields {
		n += len(f.Name) + f.Value.Len()
	}
	return n
}

// Clone copies every byte, so that the copy outlives a Wipe of s.
func (s *Secret) Clone() *Secret {
	c := &Secret{Version: s.Version, CreatedAt: s.CreatedAt, Binary: s.Binary, Age: s.Age, Stale: s.Stale}
	if s.Fields == nil {
		c.Value = s.Value.Clone()
	} else {
		c.Fields = make([]Field, len(s.Fields))
		for i, f := range s.Fields {
			c.Fields[i] = Field{f.Name, f.Value.Clone()}
		}
	}
	if s.Metadata != nil {
		c.Metadata = make(map[string]string, len(s.Metadata))
		for k, v := range s.Metadata {
			c.Metadata[k] = v
		}
	}
	return c
}

// Wipe zeroes every secret byte. No other goroutine may be reading them.
func (s *Secret) Wipe() {
	s.Value.Wipe()
	for _, f := range s.Fields {
		f.Value.Wipe()
	}
}

// Check holds s against the rules of this package: size, value or fields, field names (printable, as by
// unicode.IsPrint) and values (UTF-8), metadata.
func (s *Secret) Check() error {
	if n := s.Size(); n > MaxValueBytes {
		return fmt.Errorf("%w: %w: %d bytes, at most %d are allowed", ErrInvalidSecret, ErrTooLarge, n, MaxValueBytes)
	}
	if len(s.Fields) > MaxFields {
		return fmt.Errorf("%w: %d fields, at most %d are allowed", ErrInvalidSecret, len(s.Fields), MaxFields)
	}
	if s.Fields != nil && s.Value.Len() > 0 {
		return fmt.Errorf("%w: both a value and fields", ErrInvalidSecret)
	}
	for i, f := range s.Fields {
		switch {
		case !validName(f.Name):
			return fmt.Errorf("%w: field name %d is empty, over %d bytes, or not printable UTF-8", ErrInvalidSecret, i+1, MaxFieldNameBytes)
		case !utf8.Valid(f.Value.Reveal()):
			return fmt.Errorf("%w: field %q is not UTF-8", ErrInvalidSecret, f.Name)
		case i > 0 && s.Fields[i-1].Name >= f.Name:
			return fmt.Errorf("%w: field %q is repeated or out of order", ErrInvalidSecret, f.Name)
		}
	}
	return checkMetadata(s.Metadata)
}

func checkMetadata(m map[string]string) error {
	if len(m) > MaxMetadataEntries {
		return fmt.Errorf("%w: %d metadata entries, at most %d are allowed", ErrInvalidSecret, len(m), MaxMetadataEntries)
	}
	n := 0
	for k, v := range m {
		if !validName(k) {
			return fmt.Errorf("%w: a metadata name is empty, over %d bytes, or not printable UTF-8", ErrInvalidSecret, MaxFieldNameBytes)
		}
		if !utf8.ValidString(v) {
			return fmt.Errorf("%w: metadata %q is not UTF-8", ErrInvalidSecret, k)
		}
		n += len(k) + len(v)
	}
	if n > MaxMetadataBytes {
		return fmt.Errorf("%w: %d bytes of metadata, at most %d are allowed", ErrInvalidSecret, n, MaxMetadataBytes)
	}
	return nil
}

func validName(s string) bool {
	if s == "" || len(s) > MaxFieldNameBytes || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) { // names stand in logs and on terminals: no controls, no text direction marks
			return false
		}
	}
	return true
}
