package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/yamlconf"
)

// base is the shortest document: no key of it can be left out.
const base = `version: 1
audit:
  key: file:keys/audit.key
  sinks: [{type: file, path: audit.jsonl}]
`

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// decode reads a document in YAML, put under the environment given.
func decode(name, text string, environ ...string) (*config.Config, error) {
	doc, err := yamlconf.Read(name, []byte(text))
	if err != nil {
		return nil, err
	}
	if err := doc.ApplyEnv(environ); err != nil {
		return nil, err
	}
	return doc.Decode()
}

func mustDecode(t testing.TB, text string, environ ...string) *config.Config {
	t.Helper()
	c, err := decode("keyhole.yaml", text, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// problems returns the lines of an error, which must be a config.Errors.
func problems(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var errs config.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("%T is no config.Errors: %v", err, err)
	}
	lines := make([]string, len(errs))
	for i := range errs {
		lines[i] = errs[i].Error()
	}
	return lines
}
