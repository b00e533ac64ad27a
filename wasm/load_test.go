package wasm_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/wasm"
	"github.com/keyhole-edge/keyhole/wasm/internal/wattest"
)

func TestConfigIsChecked(t *testing.T) {
	good := guest(t, "flat_prefix")
	bare := wattest.Load(t, guestDir)["flat_prefix"]
	rows := []struct {
		name, want string
		cfg        wasm.Config
	}{
		{"no policies", "at least one", wasm.Config{}},
		{"unknown isolation", "isolation", wasm.Config{Modules: []wasm.Module{good}, Isolation: "none"}},
		{"negative instances", "MaxInstances", wasm.Config{Modules: []wasm.Module{good}, MaxInstances: -1}},
		{"same name twice", `policies 1 and 2 are both named "flat_prefix"`, wasm.Config{Modules: []wasm.Module{good, good}}},
		{"bad name", `policy 1 "A B"`, wasm.Config{Modules: []wasm.Module{{Name: "A B", Wasm: good.Wasm}}}},
		{"reserved name", "reserved", wasm.Config{Modules: []wasm.Module{{Name: "chain", Wasm: good.Wasm}}}},
		{"no module", "not a WebAssembly binary", wasm.Config{Modules: []wasm.Module{{}}}},
		{"no manifest", "0 custom sections", wasm.Config{Modules: []wasm.Module{{Wasm: bare}}}},
		{"two manifests", "2 custom sections", wasm.Config{Modules: []wasm.Module{{Wasm: custom(good.Wasm, "keyhole.policy", "{}")}}}},
		{"data without policy_init", `"policy_init" (a function) is missing`, wasm.Config{Modules: []wasm.Module{{Wasm: good.Wasm, Data: []byte("{}")}}}},
		{"data that is not JSON", "data is not JSON", wasm.Config{Modules: []wasm.Module{{Wasm: good.Wasm, Data: []byte("{")}}}},
		{"large data", "at most 1048576", wasm.Config{Modules: []wasm.Module{{Wasm: good.Wasm, Data: make([]byte, 1<<20+1)}}}},
		{"tables under reset", "use fresh", wasm.Config{Modules: []wasm.Module{guest(t, "stateful")}, Isolation: wasm.Reset}},
		{"second policy bad", "policy 2", wasm.Config{Modules: []wasm.Module{good, {Name: "x"}}}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := wasm.New(t.Context(), row.cfg)
			if !errors.Is(err, wasm.ErrLoad) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error about %q", err, row.want)
			}
		})
	}
}

func TestEndedContextStopsLoading(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := wasm.New(ctx, wasm.Config{Modules: []wasm.Module{guest(t, "flat_prefix")}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestManifest(t *testing.T) {
	const start = `{"abi":1,"kind":"native","encoding":"json","name":"x"`
	good := []string{
		start + `,"inputs":[]}`,
		start + `,"inputs":["secret.labels.classification","principal.claims.a.b","context.approval"],"time":"exact","fuel":1,
			"memory_pages":512,"wasi":true,"rules":{"0":"a","65535":"B_c-d.e"},"version":"1.0 (x)"}`,
	}
	for _, doc := range good {
		if err := wasm.ParseManifest([]byte(doc)); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
	bad := []struct{ doc, want string }{
		{``, "invalid JSON"},
		{`[]`, "not an object"},
		{start + `}`, `"inputs" is missing`},
		{start + `,"inputs":[]} {}`, "invalid JSON"},
		{start + `,"inputs":[],"Inputs":[]}`, "letter case only"},
		{start + `,"inputs":[],"input":[]}`, "unknown member"},
		{start + `,"inputs":"action"}`, "not an array"},
		{start + `,"inputs":[1]}`, "not a string"},
		{start + `,"inputs":["action","action"]}`, "repeated"},
		{start + `,"inputs":["secret.value"]}`, "not an input"},
		{start + `,"inputs":["secret.labels."]}`, "not an input"},
		{start + `,"inputs":["context.time_ms"]}`, "member time"},
		{start + `,"inputs":[],"time":"always"}`, "none, ttl or exact"},
		{start + `,"inputs":[],"fuel":0}`, "within 1 and 100000000"},
		{start + `,"inputs":[],"fuel":100000001}`, "within 1 and 100000000"},
		{start + `,"inputs":[],"fuel":1e3}`, "not an integer"},
		{start + `,"inputs":[],"fuel":"1"}`, "not an integer"},
		{start + `,"inputs":[],"memory_pages":513}`, "within 1 and 512"},
		{start + `,"inputs":[],"wasi":1}`, "not true or false"},
		{start + `,"inputs":[],"rules":{"01":"a"}}`, "decimal number"},
		{start + `,"inputs":[],"rules":{"65536":"a"}}`, "decimal number"},
		{start + `,"inputs":[],"rules":{"1":"error"}}`, "reserved"},
		{start + `,"inputs":[],"rules":{"1":"a b"}}`, "is not 1-64"},
		{start + `,"inputs":[],"entrypoint":"a"}`, "not a member of kind native"},
		{start + `,"inputs":[],"version":"` + strings.Repeat("1", 65) + `"}`, "printable ASCII"},
		{`{"abi":2,"kind":"native","encoding":"json","name":"x","inputs":[]}`, "within 1 and 1"},
		{`{"abi":1,"kind":"opa","entrypoint":"a/b"}`, `kind "opa" is not supported by this host`},
		{`{"abi":1,"kind":"js"}`, "unknown"},
		{`{"abi":1,"kind":"native","encoding":"cbor","name":"x","inputs":[]}`, "json or flat1"},
		{`{"abi":1,"kind":"native","encoding":"json","name":"X","inputs":[]}`, "is not 1-64"},
		{"{\"abi\":1,\"kind\":\"\xff\"}", "not UTF-8"},
		{start + `,"inputs":[[[[[[[[[[1]]]]]]]]]]}`, "nested deeper"},
		{start + `,"inputs":[` + strings.Repeat("0,", 2000) + `0]}`, "values"},
	}
	for _, row := range bad {
		if err := wasm.ParseManifest([]byte(row.doc)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%.120s: got %v, want an error about %q", row.doc, err, row.want)
		}
	}
}
