package jsontext_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
)

func TestAppendString(t *testing.T) {
	var controls strings.Builder
	for c := range rune(0x20) {
		controls.WriteRune(c)
	}
	for in, want := range map[string]string{
		"":                     `""`,
		"plain":                `"plain"`,
		`"a\b"`:                `"\"a\\b\""`,
		"a\nb":                 `"a\nb"`,
		"</é\u2028😀\x7f\uffff": "\"</é\u2028😀\x7f\uffff\"",
		controls.String(): `"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f` +
			`\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f"`,
	} {
		if got := string(jsontext.AppendString([]byte("x"), in)); got != "x"+want {
			t.Errorf("%q: got %s, want x%s", in, got, want)
		}
		if got := string(jsontext.AppendString(nil, []byte(in))); got != want {
			t.Errorf("bytes of %q: got %s, want %s", in, got, want)
		}
	}
}

// FuzzAppendString: whatever is written is read back by a parser that is not ours.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", "\x00\x1f\x7f", `"\`, "é\u2028😀\uffff", "\\u0000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		out := jsontext.AppendString(nil, s)
		var back string
		if err := json.Unmarshal(out, &back); err != nil || back != s || len(out) > 6*len(s)+2 {
			t.Errorf("%q: %s reads as %q (%v)", s, out, back, err)
		}
	})
}

func BenchmarkAppendString(b *testing.B) {
	b.Run("word", func(b *testing.B) {
		buf := make([]byte, 0, 128)
		for b.Loop() {
			buf = jsontext.AppendString(buf[:0], "web/production/STRIPE_KEY")
		}
	})
	b.Run("value", func(b *testing.B) {
		value, buf := []byte(strings.Repeat("sk_live_0123456789 é\n", 50)), make([]byte, 0, 8<<10)
		for b.Loop() {
			buf = jsontext.AppendString(buf[:0], value)
		}
	})
}
