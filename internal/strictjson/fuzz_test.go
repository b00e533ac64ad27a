package strictjson_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// FuzzParse: whatever Parse accepts, encoding/json accepts too and reads the same value from it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"a":[1,-2.5e+10,"x\u00e9\ud83d\ude00",true,false,null],"b":{}}`, `""`, `0`, ` [ ] `, `{"a":1,"A":2}`, `"\ud800"`, "\"\xff\"", `[[[[`, `1E400`, `-0`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := strictjson.Parse(data, strictjson.Limits{})
		if err != nil {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("Parse accepts what encoding/json refuses: %v", err)
		}
		if dec.More() {
			t.Fatal("Parse accepts text after the document")
		}
		if got := plain(n); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v; encoding/json reads %#v", got, want)
		}
	})
}

// plain turns a tree into what encoding/json decodes to.
func plain(n *strictjson.Node) any {
	switch n.Kind {
	case strictjson.Bool:
		return n.Bool
	case strictjson.Number:
		return json.Number(n.Text)
	case strictjson.String:
		return string(n.Text)
	case strictjson.Array:
		out := make([]any, len(n.Elems))
		for i := range n.Elems {
			out[i] = plain(&n.Elems[i])
		}
		return out
	case strictjson.Object:
		out := make(map[string]any, len(n.Members))
		for i := range n.Members {
			out[n.Members[i].Name] = plain(&n.Members[i].Value)
		}
		return out
	}
	return nil
}
