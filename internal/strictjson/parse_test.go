package strictjson_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

func parse(t *testing.T, text string) *strictjson.Node {
	t.Helper()
	n, err := strictjson.Parse([]byte(text), strictjson.Limits{})
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return n
}

func TestParseDecodesStrings(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`""`, ""},
		{`"plain"`, "plain"},
		{` "spaced" `, "spaced"},
		{`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"},
		{`"\u0000\u00e9\u20AC"`, "\x00é€"},
		{`"\ud83d\uDE00"`, "😀"},
		{`"é€😀"`, "é€😀"},
		{`"\ufeff\uffff"`, "\ufeff\uffff"},
		{"\"\x7f\"", "\x7f"},
	} {
		got, ok := parse(t, tt.text).Str()
		if !ok || got != tt.want {
			t.Errorf("Parse(%q) = %q, %v; want %q", tt.text, got, ok, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, at string }{
		{"nothing", "", "line 1, column 1"},
		{"spaces only", " \n ", "line 2, column 2"},
		{"byte order mark", "\xef\xbb\xbf{}", "line 1, column 1"},
		{"UTF-16", "[\x00]\x00", "line 1, column 2"},
		{"not UTF-8", "\"ab\xff\"", "line 1, column 4"},
		{"overlong", "\"\xc0\xaf\"", "line 1, column 2"},
		{"encoded surrogate", "\"\xed\xa0\x80\"", "line 1, column 2"},
		{"cut rune", "\"\xe2\x82\"", "line 1, column 2"},
		{"lone high surrogate", `"\ud83d"`, "line 1, column 2"},
		{"high surrogate and a letter", `"a\ud83dx"`, "line 1, column 3"},
		{"two high surrogates", `"\ud83d\ud83d"`, "line 1, column 2"},
		{"low surrogate first", `"\ude00\ud83d"`, "line 1, column 2"},
		{"short escape", `"\u12"`, "line 1, column 2"},
		{"escape beyond the quote", `"\u12"34"`, "line 1, column 2"},
		{"signed escape", `"\u+123"`, "line 1, column 2"},
		{"unknown escape", `"\x41"`, "line 1, column 2"},
		{"escaped rune", `"\é"`, "line 1, column 2"},
		{"control character", "\"a\nb\"", "line 1, column 3"},
		{"escaped newline", "\"a\\\nb\"", "line 1, column 4"},
		{"open string", `"abc`, "line 1, column 5"},
		{"open escape", `"abc\`, "line 1, column 6"},
		{"plus", "+1", "line 1, column 1"},
		{"leading zero", "01", "line 1, column 2"},
		{"minus leading zero", "-01", "line 1, column 3"},
		{"minus alone", "-", "line 1, column 2"},
		{"no fraction", "1.", "line 1, column 3"},
		{"no exponent", "1e+", "line 1, column 4"},
		{"no integer", ".5", "line 1, column 1"},
		{"hexadecimal", "0x1", "line 1, column 2"},
		{"NaN", "NaN", "line 1, column 1"},
		{"word", "nul", "line 1, column 1"},
		{"longer word", "trueish", "line 1, column 5"},
		{"two documents", "{} {}", "line 1, column 4"},
		{"trailing NUL", "{}\x00", "line 1, column 3"},
		{"trailing comma", "[1,]", "line 1, column 4"},
		{"missing comma", "[1 2]", "line 1, column 4"},
		{"open array", "[1,", "line 1, column 4"},
		{"open object", `{"a":1`, "line 1, column 7"},
		{"member comma", `{"a":1,}`, "line 1, column 8"},
		{"no colon", `{"a" 1}`, "line 1, column 6"},
		{"bare name", `{a:1}`, "line 1, column 2"},
		{"comment", "/**/1", "line 1, column 1"},
		{"form feed as space", "\f1", "line 1, column 1"},
		{"no-break space", "\u00a01", "line 1, column 1"},
		{"repeated name", "{\"a\":1,\n  \"a\":2}", "line 2, column 3"},
		{"repeated by escape", `{"aud":1,"\u0061ud":2}`, "line 1, column 10"},
		{"case", `{"aud":1,"AUD":2}`, "line 1, column 10"},
		{"long s", `{"iss":1,"iſſ":2}`, "line 1, column 10"},
		{"Kelvin sign", `{"kid":1,"` + "\u212a" + `id":2}`, "line 1, column 10"},
		{"Greek sigma", `{"σ":1,"ς":2}`, "line 1, column 9"},
		{"deep repeated name", `[{"x":{"a":1,"A":1}}]`, "line 1, column 14"},
		{"repeated empty name", `{"":1,"":2}`, "line 1, column 7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := strictjson.Parse([]byte(tt.text), strictjson.Limits{})
			var se *strictjson.SyntaxError
			if !errors.As(err, &se) || !errors.Is(err, strictjson.ErrSyntax) || n != nil {
				t.Fatalf("got %v, %v; want a SyntaxError that wraps ErrSyntax", n, err)
			}
			if !strings.Contains(err.Error(), tt.at) {
				t.Errorf("got %q; want it at %s", err, tt.at)
			}
		})
	}
}

// Both ways of finding repeated names, below and above the size where a map takes over, agree with strings.EqualFold.
func TestParseRefusesRepeatedNamesInObjectsOfAnySize(t *testing.T) {
	for _, first := range []string{"kid", "straße", "ΣΑΣ", "ǅ", "a\x01"} {
		for _, again := range []string{strings.ToUpper(first), strings.ToLower(first), strings.ToTitle(first), first + "x", "K" + first} {
			for size := range 40 {
				var b strings.Builder
				fmt.Fprintf(&b, `{%q:0`, first)
				for i := range size {
					fmt.Fprintf(&b, `,"name%d":0`, i)
				}
				fmt.Fprintf(&b, `,%q:0}`, again)
				text := strings.ReplaceAll(b.String(), `\x01`, `\u0001`)
				_, err := strictjson.Parse([]byte(text), strictjson.Limits{})
				if got, want := err != nil, strings.EqualFold(first, again); got != want {
					t.Fatalf("Parse(%s): refused %v, want %v: %v", text, got, want, err)
				}
			}
		}
	}
}

func TestParseLimits(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	wide := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("0,", n), ",") + "]" }
	for _, tt := range []struct {
		name   string
		text   string
		limits strictjson.Limits
		ok     bool
	}{
		{"bytes, at the limit", `"12345"`, strictjson.Limits{Bytes: 7}, true},
		{"bytes, over", `"123456"`, strictjson.Limits{Bytes: 7}, false},
		{"bytes, default, at", strings.Repeat(" ", 1<<20-1) + "1", strictjson.Limits{}, true},
		{"bytes, default, over", strings.Repeat(" ", 1<<20) + "1", strictjson.Limits{}, false},
		{"depth, scalar", "1", strictjson.Limits{Depth: 1}, true},
		{"depth, at", deep(2), strictjson.Limits{Depth: 2}, true},
		{"depth, over", deep(3), strictjson.Limits{Depth: 2}, false},
		{"depth, objects", `{"a":{"b":{}}}`, strictjson.Limits{Depth: 2}, false},
		{"depth, default, at", deep(64), strictjson.Limits{}, true},
		{"depth, default, over", deep(65), strictjson.Limits{}, false},
		{"depth, greatest, at", deep(strictjson.MaxDepth), strictjson.Limits{Depth: 1 << 40}, true},
		{"depth, greatest, over", deep(strictjson.MaxDepth + 1), strictjson.Limits{Depth: 1 << 40}, false},
		{"depth, never closed", strings.Repeat("[", 500_000), strictjson.Limits{Depth: 1 << 40}, false},
		{"nodes, at", wide(4), strictjson.Limits{Nodes: 5}, true},
		{"nodes, over", wide(5), strictjson.Limits{Nodes: 5}, false},
		{"nodes, members", `{"a":1,"b":2}`, strictjson.Limits{Nodes: 2}, false},
		{"nodes, default, at", wide(99_999), strictjson.Limits{}, true},
		{"nodes, default, over", wide(100_000), strictjson.Limits{}, false},
		{"negative means default", deep(64), strictjson.Limits{Bytes: -1, Depth: -1, Nodes: -1}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := strictjson.Parse([]byte(tt.text), tt.limits)
			if tt.ok && err != nil {
				t.Fatalf("got %v; want it accepted", err)
			}
			if !tt.ok && !errors.Is(err, strictjson.ErrTooLarge) {
				t.Fatalf("got %v; want ErrTooLarge", err)
			}
		})
	}
}

func TestParseKeepsOrderAndPositions(t *testing.T) {
	n := parse(t, "{\n \"b\" : [1,\n\ttrue],\r\n \"a\":null}")
	if len(n.Members) != 2 || n.Members[0].Name != "b" || n.Members[1].Name != "a" {
		t.Fatalf("got members %v; want b then a", n.Members)
	}
	at := func(what string, line, col, wantLine, wantCol int) {
		t.Helper()
		if line != wantLine || col != wantCol {
			t.Errorf("%s is at %d:%d; want %d:%d", what, line, col, wantLine, wantCol)
		}
	}
	b, a := n.Members[0], n.Members[1]
	at("root", n.Line, n.Col, 1, 1)
	at("name b", b.Line, b.Col, 2, 2)
	at("array", b.Value.Line, b.Value.Col, 2, 8)
	at("true", b.Value.Elems[1].Line, b.Value.Elems[1].Col, 3, 2)
	at("name a", a.Line, a.Col, 4, 2)
	at("null", a.Value.Line, a.Value.Col, 4, 6)
	if got := b.Value.Elems[1]; got.Kind != strictjson.Bool || !got.Bool {
		t.Errorf("got %v; want true", got)
	}
	if n.Get("a") == nil || n.Get("A") != nil {
		t.Error("Get must match names exactly")
	}
}

// The caller wipes the text it read; the tree must not change with it, and must be wiped by itself.
func TestTreeOwnsItsMemory(t *testing.T) {
	text := []byte(`{"name":["value","esc\taped",12.5]}`)
	n, err := strictjson.Parse(text, strictjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	clear(text)
	elems := n.Get("name").Elems
	for i, want := range []string{"value", "esc\taped", "12.5"} {
		if got := string(elems[i].Text); got != want {
			t.Errorf("element %d is %q after the text was wiped; want %q", i, got, want)
		}
	}
	n.Wipe()
	for i := range elems {
		if len(bytes.Trim(elems[i].Text, "\x00")) != 0 {
			t.Errorf("element %d is %q after Wipe", i, elems[i].Text)
		}
	}
}

func TestWhatWasReadOfABadDocumentIsWiped(t *testing.T) {
	root := new(strictjson.Node)
	if err := strictjson.ParseOrWipe(root, []byte(`{"value":"canary","list":["canary",1],`)); err == nil {
		t.Fatal("a document without its end was taken")
	}
	for _, n := range []*strictjson.Node{root.Get("value"), &root.Get("list").Elems[0]} {
		if len(n.Text) != 6 || len(bytes.Trim(n.Text, "\x00")) != 0 {
			t.Errorf("got %q; want six zeros", n.Text)
		}
	}
}

// Whatever is wrong with a document, and wherever, the error quotes neither names nor strings.
func TestErrorsQuoteNothing(t *testing.T) {
	text := `{"CANARY":["CANARY",{"CANARY":"CAN\u0041RY"},1,"CANARY"],"CANARY2":{"CANARY":0,"canary":1}}`
	refused := 0
	for cut := range len(text) {
		for _, bad := range []string{text[:cut], text[:cut] + "\x01" + text[cut:], text[:cut] + `"` + text[cut:], text[:cut] + `\` + text[cut:]} {
			_, err := strictjson.Parse([]byte(bad), strictjson.Limits{})
			if err == nil {
				continue // an escape like \n may be fine
			}
			refused++
			if strings.Contains(strings.ToUpper(err.Error()), "CANAR") {
				t.Errorf("Parse(%q): %v", bad, err)
			}
		}
	}
	if refused < 3*len(text) {
		t.Errorf("only %d documents were refused", refused)
	}
}

func TestInt64(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"0", 0, true},
		{"-1", -1, true},
		{"1763719200", 1763719200, true},
		{"9223372036854775807", 9223372036854775807, true},
		{"-9223372036854775808", -9223372036854775808, true},
		{"9223372036854775808", 0, false},
		{"-9223372036854775809", 0, false},
		{"100000000000000000000000000000000", 0, false},
		{"-0", 0, false},
		{"1.0", 0, false},
		{"1e3", 0, false},
		{`"1"`, 0, false},
		{"true", 0, false},
		{"null", 0, false},
	} {
		if got, ok := parse(t, tt.text).Int64(); ok != tt.ok || ok && got != tt.want {
			t.Errorf("Int64 of %s = %d, %v; want %d, %v", tt.text, got, ok, tt.want, tt.ok)
		}
	}
	var absent *strictjson.Node
	if _, ok := absent.Int64(); ok {
		t.Error("Int64 of an absent node succeeded")
	}
	if _, ok := absent.Str(); ok {
		t.Error("Str of an absent node succeeded")
	}
	if _, ok := parse(t, "12").Str(); ok {
		t.Error("Str of a number succeeded")
	}
}
