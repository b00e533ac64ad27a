package embedded

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// A payload is one byte for its kind and then the value itself, or the fields as pairs. Metadata is pairs too. Pairs are
// a count and then names and values, each a length and bytes; numbers are varints.
const (
	kindValue  = 0
	kindFields = 1
)

// encodePayload copies the secret bytes of s; the caller wipes the result.
func encodePayload(s *secret.Secret) []byte {
	if s.Fields == nil {
		return append(append(make([]byte, 0, 1+s.Value.Len()), kindValue), s.Value.Reveal()...)
	}
	// Sized for the longest varints, so that appending never leaves a copy behind.
	out := make([]byte, 0, 1+binary.MaxVarintLen64*(1+2*len(s.Fields))+s.Size())
	out = binary.AppendUvarint(append(out, kindFields), uint64(len(s.Fields)))
	for _, f := range s.Fields {
		out = appendPart(out, []byte(f.Name))
		out = appendPart(out, f.Value.Reveal())
	}
	return out
}

// decodePayload puts what b holds into s, which then owns b.
func decodePayload(b []byte, s *secret.Secret) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: a version is empty", ErrCorrupt)
	}
	kind, rest := b[0], b[1:]
	switch kind {
	case kindValue:
		s.Value = secret.NewValue(rest)
		return nil
	case kindFields:
		fields := []secret.Field{}
		err := decodePairs(rest, secret.MaxFields, func(name, value []byte) {
			fields = append(fields, secret.Field{Name: string(name), Value: secret.NewValue(value)})
		})
		s.Fields = fields
		return err
	}
	return fmt.Errorf("%w: a version of unknown kind", ErrCorrupt)
}

func encodeMetadata(m map[string]string) []byte {
	out := binary.AppendUvarint(nil, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = appendPart(appendPart(out, []byte(k)), []byte(m[k]))
	}
	return out
}

// decodeMetadata returns nil for no metadata.
func decodeMetadata(b []byte) (map[string]string, error) {
	var m map[string]string
	err := decodePairs(b, secret.MaxMetadataEntries, func(name, value []byte) {
		if m == nil {
			m = make(map[string]string)
		}
		m[string(name)] = string(value)
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

func appendPart(out, part []byte) []byte {
	return append(binary.AppendUvarint(out, uint64(len(part))), part...)
}

// decodePairs calls put with parts of b, in strictly ascending order of their names.
func decodePairs(b []byte, limit uint64, put func(name, value []byte)) error {
	count, n := binary.Uvarint(b)
	if n <= 0 || count > limit {
		return fmt.Errorf("%w: an entry's count makes no sense", ErrCorrupt)
	}
	b = b[n:]
	var before []byte
	for i := range count {
		var name, value []byte
		var ok1, ok2 bool
		name, b, ok1 = cutPart(b)
		value, b, ok2 = cutPart(b)
		if !ok1 || !ok2 || i > 0 && string(before) >= string(name) {
			return fmt.Errorf("%w: an entry's parts make no sense", ErrCorrupt)
		}
		before = name
		put(name, value)
	}
	if len(b) > 0 {
		return fmt.Errorf("%w: an entry is too long", ErrCorrupt)
	}
	return nil
}

func cutPart(b []byte) (part, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	end := n + int(size)
	return b[n:end:end], b[end:], true
}
