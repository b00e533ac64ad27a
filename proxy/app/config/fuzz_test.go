package config_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// FuzzJSON: nothing panics, every refusal is a config.Errors, and what is taken survives both ways of rendering.
func FuzzJSON(f *testing.F) {
	f.Add(readFile(f, "full.json"), "PORT=1")
	f.Add(readFile(f, "every.json"), "KEYHOLE__LISTEN__NATIVE__TLS__KEY=file:k")
	f.Add([]byte(`{"version":1,"audit":{"key":"env:A","sinks":[{"type":"stdout"}]}}`), "KEYHOLE__CACHE__SECOND_LEVEL__KEY=env:A")
	f.Add([]byte(`{"version":1,"listen":"x","upstreams":{"a":{"type":1,"path":null}},"audit":[]}`), "KEYHOLE__UPSTREAMS__A__LIMITS__RATE=1")
	f.Add([]byte(`{"listen":{"native":null}}`), "KEYHOLE__LISTEN__NATIVE=127.0.0.1:1")
	f.Fuzz(func(t *testing.T, data []byte, variable string) {
		doc, err := config.ReadJSON("k.json", data)
		if err == nil {
			err = doc.ApplyEnv([]string{variable})
		}
		var want *config.Config
		if err == nil {
			want, err = doc.Decode()
		}
		if err != nil {
			var errs config.Errors
			if !errors.As(err, &errs) || len(errs) == 0 || errs.Error() == "" {
				t.Fatalf("got %T %v, want a config.Errors", err, err)
			}
			return
		}
		if want.Listen.FromPort {
			return // PORT is in no document
		}
		full, err := config.Render(want)
		if err != nil {
			t.Fatal(err)
		}
		for _, rendered := range [][]byte{doc.Render(), full} {
			again, err := config.ReadJSON("k.json", rendered)
			if err != nil {
				t.Fatalf("%v\n%s", err, rendered)
			}
			got, err := again.Decode()
			if err != nil {
				t.Fatalf("%v\n%s", err, rendered)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v, want %+v\n%s", got, want, rendered)
			}
			if !bytes.Equal(again.Render(), rendered) {
				t.Fatalf("not canonical: %s", rendered)
			}
		}
	})
}
