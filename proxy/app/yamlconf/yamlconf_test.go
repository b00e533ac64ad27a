package yamlconf_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/yamlconf"
)

// TestParse: what YAML means, in canonical JSON.
func TestParse(t *testing.T) {
	for yaml, want := range map[string]string{
		"a: 1":                               `{"a":1}`,
		"a: {b: [1, -2.5, 1e3, true, null]}": `{"a":{"b":[1,-2.5,1e3,true,null]}}`,
		"a:\n- b: c\n  d: e\n- f":            `{"a":[{"b":"c","d":"e"},"f"]}`,
		"a: \"1\"\nb: 'true'\nc: \"\"":       `{"a":"1","b":"true","c":""}`,
		"a:\nb: ~":                           `{"a":null,"b":null}`,
		"a: |\n  x\n  y\nb: >-\n  x\n  y":    `{"a":"x\ny\n","b":"x y"}`,
		"# comment\n---\na: b # c\n...\n":    `{"a":"b"}`,
		"a: 1\r\nb: 2\r\n":                   `{"a":1,"b":2}`,
		"{\"a\": [\"b\\u00e9\"]}":            `{"a":["bé"]}`,
		"- a":                                `["a"]`,
		"<a>: 1":                             `{"<a>":1}`,
		"'<<': 1":                            `{"<<":1}`,
		"a: yes\nb: no\nc: on\nd: off\ne: y": `{"a":"yes","b":"no","c":"on","d":"off","e":"y"}`,
		"yes: 1\non: 2":                      `{"on":2,"yes":1}`,
		"a: 017\nb: 0o17\nc: 0x1f\nd: 1_000\ne: 1:30\nf: 0b1": `{"a":"017","b":"0o17","c":"0x1f","d":"1_000","e":"1:30","f":"0b1"}`,
		"a: .5\nb: +1\nc: .inf\nd: .nan\ne: 1.\nf:\n-":        `{"a":".5","b":"+1","c":".inf","d":".nan","e":"1.","f":[null]}`,
		"a: 2026-01-01\nb: True\nc: NULL\nd: Null":            `{"a":"2026-01-01","b":"True","c":"NULL","d":"Null"}`,
		"a: 99999999999999999999":                             `{"a":99999999999999999999}`,
		"a: 012345678901":                                     `{"a":"012345678901"}`,
	} {
		n, err := yamlconf.Parse([]byte(yaml))
		if err != nil {
			t.Errorf("%q: %v", yaml, err)
			continue
		}
		if got := string(config.Canonical(n)); got != want {
			t.Errorf("%q: got %s, want %s", yaml, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	deep := strings.Repeat("[", config.MaxDepth+1) + strings.Repeat("]", config.MaxDepth+1)
	aliases := "anchors and aliases (& and *) are not allowed; put a text that starts so in quotes"
	tags := "tags (!) are not allowed; put a text that starts so in quotes"
	for _, tt := range []struct {
		name, yaml string
		want       []string
	}{
		{"empty", "", []string{"k.yaml: the document is empty"}},
		{"comments alone", "# a\n", []string{"k.yaml: the document is empty"}},
		{"two documents", "a: 1\n---\nb: 1\n", []string{"k.yaml:2: a second document; only one is taken"}},
		{"rubbish behind the document", "a: 1\n---\nb: [\n", []string{"k.yaml:3: did not find expected node content"}},
		{"a name twice", "a: 1\nb: {c: 1,\n  c: 2}\n", []string{"k.yaml:3:3: b.c: this key is there already"}},
		{"a name in another case", "a: 1\nlist: [{ſ: 1, S: 2}]\nA: 1\n", []string{
			"k.yaml:2:16: list[0].S: this key differs from an earlier one in case alone",
			"k.yaml:3:1: A: this key differs from an earlier one in case alone",
		}},
		{"an anchor", "a: &x 1\n", []string{"k.yaml:1:4: a: " + aliases}},
		{"an alias", "a: &x [1]\nb: *x\n", []string{"k.yaml:1:4: a: " + aliases, "k.yaml:2:4: b: " + aliases}},
		{"an alias of nothing", "a: 1\nb: *hunter2\n", []string{"k.yaml:2:4: " + aliases}},
		{"a merge key", "a: 1\n<<: {b: 1}\n", []string{"k.yaml:2:1: merge keys (<<) are not allowed"}},
		{"a tag", "a: !!str 1\nb: !x {c: 1}\nc: ! 1\nd: !!binary aGk=\n", []string{"k.yaml:1:4: a: " + tags, "k.yaml:2:4: b: " + tags, "k.yaml:3:4: c: " + tags, "k.yaml:4:4: d: " + tags}},
		{"keys that are no text", "1: a\n", []string{"k.yaml:1:1: a key must be a text; put it in quotes"}},
		{"a key that is a list", "? [a]\n: b\n", []string{"k.yaml:1:3: a key must be a text; put it in quotes"}},
		{"too deep", "a: " + deep, []string{"k.yaml:1:67: a" + strings.Repeat("[0]", config.MaxDepth-1) + ": nested deeper than 64 levels"}},
		{"too large", strings.Repeat("#", config.MaxYAMLBytes+1), []string{"k.yaml: 4194305 bytes, at most 4194304 are allowed"}},
		{"a byte order mark", "\xef\xbb\xbfa: 1", []string{"k.yaml:1:1: a byte order mark is not allowed; save the file as UTF-8 without one"}},
		{"not UTF-8", "a: 1\nb: \xff", []string{"k.yaml:2:4: not UTF-8"}},
		{"UTF-16", "\xff\xfea\x00", []string{"k.yaml:1:1: not UTF-8"}},
		{"a line of its own kind", "a: 1 # x\u2028b: 2", []string{"k.yaml:1:9: the character U+2028 is not allowed"}},
		{"a byte order mark inside", "a: \"x\ufeffy\"", []string{"k.yaml:1:6: the character U+FEFF is not allowed"}},
		{"a carriage return", "a: 1\rb: 2", []string{"k.yaml:1:5: a carriage return without a line feed"}},
		{"a control character", "a: \x00", []string{"k.yaml:1:4: the character U+0000 is not allowed"}},
		{"a directive", "%YAML 1.1\n---\na: 1\n", []string{"k.yaml:1:1: directives are not allowed"}},
		{"a tab", "a:\n\tb: 1\n", []string{"k.yaml:2: found character that cannot start any token"}},
		{"not YAML", "a: [1\nb: 2\n", []string{"k.yaml:2: did not find expected ',' or ']'"}},
		{"an open list", "a: 1\nb: {c: [1, 2}\n", []string{"k.yaml:2: did not find expected ',' or ']'"}},
		{"two values", "a: b: c\n", []string{"k.yaml:1: mapping values are not allowed in this context"}},
		{"an open text", "a: 1\nb: 'c\nd: 1\n", []string{"k.yaml:2: found unexpected end of stream"}},
		{"indented too little", "a:\n  b:\n   - c: 1\n  d: 1\n e: 2\n", []string{"k.yaml:5: did not find expected key"}},
		{"a list that goes on as a map", "- a\nb: 1\n", []string{"k.yaml:2: did not find expected '-' indicator"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := yamlconf.Read("k.yaml", []byte(tt.yaml))
			var errs config.Errors
			if !errors.As(err, &errs) {
				t.Fatalf("got %v, want a config.Errors", err)
			}
			var got []string
			for _, e := range errs {
				got = append(got, e.Error())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestDepthIsThatOfJSON: a document that is taken in YAML is not too deep in JSON.
func TestDepthIsThatOfJSON(t *testing.T) {
	deep := strings.Repeat("[", config.MaxDepth) + strings.Repeat("]", config.MaxDepth)
	n, err := yamlconf.Parse([]byte(deep))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.ReadJSON("k.json", config.Canonical(n)); err != nil {
		t.Error(err)
	}
}

// TestColumnsCountBytes: as in JSON.
func TestColumnsCountBytes(t *testing.T) {
	n, err := yamlconf.Parse([]byte(`{"é€😀": {"ä": 1, "b": [x]}}`))
	if err != nil {
		t.Fatal(err)
	}
	j, err := strictjson.Parse([]byte(`{"é€😀": {"ä": 1, "b": ["x"]}}`), strictjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(n, j) {
		t.Errorf("got %+v, want %+v", n, j)
	}
}

// FuzzYAML: nothing panics; what is taken renders to JSON that is the same tree, and as a configuration it means the same.
func FuzzYAML(f *testing.F) {
	for _, s := range []string{
		"", "a: 1", "a: [b, {c: d}]", "version: 1\naudit: {key: env:A, sinks: [{type: stdout}]}\n", "? a\n: b", "a: |+\n x\n\n", "a: \"\\x01\\u2028\"", "{a, b: }", "- - a\n  -\n",
		"a: &x 1\nb: *x", "a: ! 1", "<<: {a: 1}", "%TAG ! x\n---\n", "a: 'it''s'", "#\n- #\n  #", "[\n#\n]\n#", "a: 1 #\n\n#\n  b: 1",
		"version: 1\nlisten: {native: {address: \"[::1]:1\"}}\nmounts: [{path: \"\", upstream: a}]\nupstreams: {a: {type: embedded, path: v, key: file:k}}\naudit: {key: env:A, sinks: [{type: stdout}]}\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := yamlconf.Read("k.yaml", data)
		if err != nil {
			var errs config.Errors
			if !errors.As(err, &errs) || len(errs) == 0 {
				t.Fatalf("got %T %v, want a config.Errors", err, err)
			}
			return
		}
		rendered := doc.Render()
		again, err := config.ReadJSON("k.json", rendered)
		if err != nil {
			t.Fatalf("%v\n%s", err, rendered)
		}
		if got := again.Render(); !bytes.Equal(got, rendered) {
			t.Fatalf("got %s, want %s", got, rendered)
		}
		want, errY := doc.Decode()
		got, errJ := again.Decode()
		if (errY == nil) != (errJ == nil) || !reflect.DeepEqual(got, want) {
			t.Fatalf("YAML gives %+v, %v; JSON %+v, %v", want, errY, got, errJ)
		}
	})
}
