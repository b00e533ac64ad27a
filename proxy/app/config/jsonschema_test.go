package config_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/yamlconf"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := config.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(config.SchemaID, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(config.SchemaID)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is a document in YAML, as the schema sees it.
func asJSON(t *testing.T, text string) any {
	t.Helper()
	doc, err := yamlconf.Read("keyhole.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return parsed(t, doc.Render())
}

func parsed(t *testing.T, text []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The schema takes what Decode takes, as people write it and with every default spelled out.
func TestJSONSchemaTakesDocuments(t *testing.T) {
	s := compiledSchema(t)
	for name, text := range map[string]string{
		"base": base, "full": string(readFile(t, "full.yaml")), "every": string(readFile(t, "every.yaml")),
		"off": base + "listen: {native: \"\", admin: \"\"}\nstate: {max_blind: 0}\ntelemetry: {prometheus: false}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Validate(asJSON(t, text)); err != nil {
				t.Errorf("as written: %v", err)
			}
			rendered, err := config.Render(mustDecode(t, text))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(parsed(t, rendered)); err != nil {
				t.Errorf("rendered: %v", err)
			}
		})
	}
}

// It refuses what an editor should mark.
func TestJSONSchemaRefuses(t *testing.T) {
	s := compiledSchema(t)
	for name, text := range map[string]string{
		"an unknown key":           base + "chache: {}\n",
		"no version":               strings.Replace(base, "version: 1\n", "", 1),
		"another version":          strings.Replace(base, "version: 1", "version: 2", 1),
		"no sinks":                 strings.Replace(base, "[{type: file, path: audit.jsonl}]", "[]", 1),
		"an unknown kind of sink":  strings.Replace(base, "type: file", "type: syslog", 1),
		"a key of another variant": base + "upstreams: {a: {type: embedded, path: v, key: \"file:k\", address: \"https://x\"}}\n",
		"a variant without a key":  base + "upstreams: {a: {type: embedded, path: v}}\n",
		"an unknown word":          base + "log: {level: loud}\n",
		"a number out of bounds":   base + "limits: {max_in_flight: 0}\n",
		"a number in quotes":       base + "limits: {max_in_flight: \"5\"}\n",
		"a duration without unit":  base + "state: {check: 5}\n",
		"a size of ten":            base + "cache: {bytes: 64MB}\n",
		"a secret in the document": strings.Replace(base, "file:keys/audit.key", "hunter2", 1),
		"data that is a list":      base + "policy: {chain: [{bundle: \"builtin:scope\", data: []}]}\n",
		"a listener of numbers":    base + "listen: {native: 8640}\n",
	} {
		if err := s.Validate(asJSON(t, text)); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
		if _, err := decode("keyhole.yaml", text); err == nil {
			t.Errorf("%s: the decoder takes it", name)
		}
	}
}

// Every key stands in the schema, with its documentation.
func TestJSONSchemaHasEveryKey(t *testing.T) {
	text, err := config.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	described := map[string][]string{}
	describe(described, "", root)
	for _, k := range config.Keys() {
		if docs := described[k.Path]; !slices.ContainsFunc(docs, func(doc string) bool { return strings.HasPrefix(doc, k.Doc) }) {
			t.Errorf("%s: got %q, want %q", k.Path, docs, k.Doc)
		}
	}
	if len(described) < 100 {
		t.Errorf("only %d keys found", len(described))
	}
}

// describe collects descriptions by path, written as Keys does: more than one where variants share a name.
func describe(to map[string][]string, at string, s map[string]any) {
	for _, word := range []string{"oneOf", "anyOf"} {
		forms, _ := s[word].([]any)
		for _, f := range forms {
			describe(to, at, f.(map[string]any))
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for name, p := range properties {
		key := strings.TrimPrefix(at+"."+name, ".")
		doc, _ := p.(map[string]any)["description"].(string)
		to[key] = append(to[key], doc)
		describe(to, key, p.(map[string]any))
	}
	if items, ok := s["items"].(map[string]any); ok {
		describe(to, at+"[]", items)
	}
	if more, ok := s["additionalProperties"].(map[string]any); ok {
		describe(to, at+".*", more)
	}
}
