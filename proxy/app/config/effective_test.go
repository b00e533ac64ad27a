package config_test

import (
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// TestCanonicalText: every character of a text survives, in a name as in a value.
func TestCanonicalText(t *testing.T) {
	var text []byte
	for r := rune(0); r < 0x3000; r++ {
		text = utf8.AppendRune(text, r)
	}
	n := &strictjson.Node{Kind: strictjson.Object, Members: []strictjson.Member{{Name: string(text), Value: strictjson.Node{Kind: strictjson.String, Text: text}}}}
	got, err := strictjson.Parse(config.Canonical(n), strictjson.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := got.Get(string(text)).Str(); s != string(text) {
		t.Errorf("got %q", s)
	}
}

// TestRenderRoundTrip: what is rendered means what was read, and rendering that again changes nothing.
func TestRenderRoundTrip(t *testing.T) {
	for name, text := range map[string]string{
		"base": base, "full": string(readFile(t, "full.yaml")), "every": string(readFile(t, "every.yaml")),
		"open": base + "listen: {native: \":1\", aws: \"[::1]:2\", insecure_http: true}\n",
		"off":  base + "listen: {native: \"\", admin: \"\"}\nstate: {max_blind: 0}\ntelemetry: {prometheus: false}\n",
	} {
		t.Run(name, func(t *testing.T) {
			want := mustDecode(t, text)
			rendered, err := config.Render(want)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := config.ReadJSON("keyhole.json", rendered)
			if err != nil {
				t.Fatalf("%v\n%s", err, rendered)
			}
			got, err := doc.Decode()
			if err != nil {
				t.Fatalf("%v\n%s", err, rendered)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if again := doc.Render(); string(again) != string(rendered) {
				t.Errorf("not canonical:\ngot  %s\nwant %s", again, rendered)
			}
		})
	}
}
