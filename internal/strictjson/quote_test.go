package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// What is quoted reads as what it was, takes no more room than was said, and holds nothing that JavaScript would not take.
func TestAppendString(t *testing.T) {
	for _, s := range []string{
		"", "plain", "\"\\/", "\x00\x01\x1f\x7f", "\b\f\n\r\t", "é☃🔑", "\u2027\u2028\u2029\u202a", "<&>", strings.Repeat("\x01", 100),
	} {
		got := strictjson.AppendString([]byte("x"), s)
		if again := strictjson.AppendString([]byte("x"), []byte(s)); string(again) != string(got) {
			t.Errorf("%q: as bytes %s, as a string %s", s, again, got)
		}
		if n := len(got) - 1; n > strictjson.QuotedLen(s) {
			t.Errorf("%q takes %d bytes, not at most %d", s, n, strictjson.QuotedLen(s))
		}
		var back string
		if err := json.Unmarshal(got[1:], &back); err != nil || back != s {
			t.Errorf("%q is quoted as %s (%v)", s, got[1:], err)
		}
		if strings.ContainsAny(string(got), "\u2028\u2029") {
			t.Errorf("%q is quoted with a line separator", s)
		}
	}
}

func TestAppendCompact(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{` { "z" : [ 1 , -2.50e+1 , true , false , null ] , "a\n" : { } , "" : [ ] } `, `{"z":[1,-2.50e+1,true,false,null],"a\n":{},"":[]}`},
		{`"a\u0007\u2028b"`, `"a\u0007\u2028b"`},
		{` 12345678901234567890 `, `12345678901234567890`},
		{`[[[]],{"a":{"b":[]}}]`, `[[[]],{"a":{"b":[]}}]`},
	} {
		n := parse(t, tt.text)
		if got := string(strictjson.AppendCompact(nil, n)); got != tt.want || len(got) > strictjson.CompactLen(n) {
			t.Errorf("%s is %s (at most %d bytes), want %s", tt.text, got, strictjson.CompactLen(n), tt.want)
		}
	}
}

func TestExactNames(t *testing.T) {
	for size := range 40 {
		var b strings.Builder
		b.WriteString(`{"key":0,"Key":1,"KEY":2`)
		for i := range size {
			fmt.Fprintf(&b, `,"name%d":0`, i)
		}
		n, err := strictjson.Parse([]byte(b.String()+"}"), strictjson.Limits{ExactNames: true})
		if err != nil {
			t.Fatalf("with %d names: %v", size, err)
		}
		if got := []string{string(n.Get("key").Text), string(n.Get("Key").Text), string(n.Get("KEY").Text)}; !reflect.DeepEqual(got, []string{"0", "1", "2"}) {
			t.Errorf("got %q", got)
		}
		if _, err := strictjson.Parse([]byte(b.String()+`,"Key":3}`), strictjson.Limits{ExactNames: true}); !errors.Is(err, strictjson.ErrSyntax) {
			t.Errorf("with %d names: a name twice is taken (%v)", size, err)
		}
	}
}
