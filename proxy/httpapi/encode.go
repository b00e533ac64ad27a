package httpapi

import (
	"encoding/base64"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// appendSecret writes the value answer. Secret bytes go straight from the cache into the buffer that is wiped after use:
// encoding/json would leave copies.
func appendSecret(b []byte, a *proxy.Answer) []byte {
	b = slices.Grow(b, room(a))
	b = append(b, `{"data":`...)
	b = appendData(b, a)
	b = append(b, `,"meta":{"cache":"`...)
	b = append(b, a.State...)
	b = append(b, `","age_ms":`...)
	b = strconv.AppendInt(b, a.Age.Milliseconds(), 10)
	b = append(b, `,"stale":`...)
	b = strconv.AppendBool(b, a.State == "stale")
	b = append(b, `,"decision":"`...)
	b = append(b, a.Decision...)
	return append(b, "\"}}\n"...)
}

// appendData writes the secret itself, which is the same in every answer. The buffer has the room already.
func appendData(b []byte, a *proxy.Answer) []byte {
	b = append(b, `{"path":"`...)
	b = append(b, a.Path.String()...)
	b = append(b, `",`...)
	if a.Fields != nil {
		b = append(b, `"fields":`...)
		b = appendFields(b, a.Fields)
	} else {
		b = appendValue(b, a.Value)
		b = append(b, `,"encoding":"`...)
		b = append(b, encodingOf(a.Value)...)
		b = append(b, '"')
	}
	b = append(b, `,"version":"`...)
	b = append(b, a.Version...)
	b = append(b, '"')
	if !a.CreatedAt.IsZero() { // not every vault knows
		b = append(b, `,"created_at":"`...)
		b = a.CreatedAt.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	if len(a.Metadata) > 0 {
		b = append(b, `,"metadata":`...)
		b = appendStringMap(b, a.Metadata)
	}
	return append(b, '}')
}

// appendRuntimeSecret writes the answer of the runtime-secret route: a secret of fields is its canonical JSON, as text.
func appendRuntimeSecret(b []byte, a *proxy.Answer) []byte {
	b = slices.Grow(b, room(a))
	b = append(b, `{"data":{`...)
	if a.Fields != nil {
		b = append(b, `"value":`...)
		b = appendText(b, a)
	} else {
		b = appendValue(b, a.Value)
		if encodingOf(a.Value) != encodingUTF8 {
			b = append(b, `,"encoding":"base64"`...)
		}
	}
	b = append(b, `,"version":"`...)
	b = append(b, a.Version...)
	return append(b, "\"}}\n"...)
}

// appendText writes a text, or fields as the text of their canonical JSON. The buffer has the room already.
func appendText(b []byte, a *proxy.Answer) []byte {
	if a.Fields == nil {
		return jsontext.AppendString(b, a.Value.Reveal())
	}
	// The document is built beside the answer and then quoted into it; both are wiped.
	scratch := appendFields(make([]byte, 0, cap(b)), a.Fields)
	b = jsontext.AppendString(b, scratch)
	clear(scratch[:cap(scratch)])
	return b
}

// room is what the whole answer takes at most. It is made at once: growing step by step would leave copies of the value
// behind.
func room(a *proxy.Answer) int {
	n := 1024 + a.Value.Len()*6
	for _, f := range a.Fields {
		// A field may be quoted twice, and a byte takes at most six each time.
		n += (len(f.Name)+f.Value.Len())*12 + 16
	}
	for k, v := range a.Metadata {
		n += (len(k)+len(v))*6 + 16
	}
	return n
}

const (
	encodingUTF8   = "utf-8"
	encodingBase64 = "base64"
)

func encodingOf(v secret.Value) string {
	if utf8.Valid(v.Reveal()) {
		return encodingUTF8
	}
	return encodingBase64
}

func appendValue(b []byte, v secret.Value) []byte {
	b = append(b, `"value":`...)
	if encodingOf(v) == encodingUTF8 {
		return jsontext.AppendString(b, v.Reveal())
	}
	return appendBase64(b, v)
}

func appendBase64(b []byte, v secret.Value) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, v.Reveal())
	return append(b, '"')
}

// isBinary reports whether a is no text and has to be written as base64.
func isBinary(a *proxy.Answer) bool { return a.Fields == nil && encodingOf(a.Value) != encodingUTF8 }

func appendFields(b []byte, fields []secret.Field) []byte {
	b = append(b, '{')
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsontext.AppendString(b, f.Name)
		b = append(b, ':')
		b = jsontext.AppendString(b, f.Value.Reveal())
	}
	return append(b, '}')
}

func appendStringMap(b []byte, m map[string]string) []byte {
	b = append(b, '{')
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	for i, k := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsontext.AppendString(b, k)
		b = append(b, ':')
		b = jsontext.AppendString(b, m[k])
	}
	return append(b, '}')
}
