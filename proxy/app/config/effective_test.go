package config_test

import (
	"reflect"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// TestRenderRoundTrip: what is rendered means what was read, and rendering that again changes nothing.
func TestRenderRoundTrip(t *testing.T) {
	for name, text := range map[string]string{
		"base": base, "full": string(readFile(t, "full.yaml")), "every": string(readFile(t, "every.yaml")),
		"off": base + "listen: {native: \"\", admin: \"\"}\nstate: {max_blind: 0}\ntelemetry: {prometheus: false}\n",
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
