package full_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
)

//go:generate go test -run ^TestConfigurationPage$ . -update

var update = flag.Bool("update", false, "write the page")

const page = "../../../docs/configuration.md"

// The reference of the configuration says what the program does: its keys are those that the decoder knows, and what it
// says to be refused is refused.
func TestConfigurationPage(t *testing.T) {
	prose, err := os.ReadFile("testdata/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("{{refused}}\n", refused(t), "{{keys}}\n", keys(t)).Replace(string(prose))
	want = "<!-- Made by go generate ./proxy/app/full from the keys in proxy/app/config and proxy/app/full/testdata/configuration.md. -->\n\n" + want
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/configuration.md is not what the keys say; run: go generate ./proxy/app/full")
	}
}

// chosen are the parts of a key that a document chooses.
var chosen = regexp.MustCompile(`\[[0-9]+\]|^(upstreams\.)[^.]+`)

// documents have every key, and each kind of what there are kinds of.
func documents(t *testing.T) []string {
	t.Helper()
	names := []string{"../config/testdata/full.yaml", "../config/testdata/every.yaml"}
	for _, k := range config.Keys() {
		if k.Path != "state.type" {
			continue
		}
		for _, kind := range k.Enum {
			name := filepath.Join(t.TempDir(), kind+".yaml")
			text := "version: 1\nstate: {type: " + kind + "}\naudit: {key: file:audit.key, sinks: [{type: file, path: audit.jsonl}]}\n"
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
		}
	}
	return names
}

// refused lists what this program would not serve of them.
func refused(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, name := range documents(t) {
		c, err := full.Drivers().Load(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = full.Drivers().Unsupported(c)
		if err == nil {
			continue
		}
		for line := range strings.Lines(err.Error()) {
			key, what, _ := strings.Cut(strings.TrimSpace(line), ": ")
			key = chosen.ReplaceAllStringFunc(key, func(s string) string {
				if s[0] == '[' {
					return "[]"
				}
				return "upstreams.*"
			})
			what, _, _ = strings.Cut(what, "; ")
			lines = append(lines, fmt.Sprintf("- `%s`: %s\n", key, strings.ReplaceAll(what, "this version", "it")))
		}
	}
	slices.Sort(lines)
	if len(lines) == 0 {
		return "- nothing\n"
	}
	return strings.Join(slices.Compact(lines), "")
}

// keys is a table for each key of the document's top, with all below it.
func keys(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i, k := range config.Keys() {
		switch {
		case i == 0:
			b.WriteString(tableHead)
		case !strings.ContainsAny(k.Path, ".[") && isObject(k):
			fmt.Fprintf(&b, "\n### `%s`\n\n%s\n\n%s", k.Path, k.Doc, tableHead)
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Path, k.Type, standard(k), meaning(k))
	}
	return b.String()
}

const tableHead = "| key | takes | default | |\n|---|---|---|---|\n"

func isObject(k config.Key) bool {
	return strings.HasPrefix(k.Type, "an object") || k.Type == "a list of objects"
}

func standard(k config.Key) string {
	switch {
	case k.Required:
		return "required"
	case k.Default != "":
		return "`" + k.Default + "`"
	}
	return ""
}

func meaning(k config.Key) string {
	doc := k.Doc
	switch {
	case k.Min == k.Max && k.Min != "":
		doc += " It is " + k.Min + "."
	case k.Min != "" && k.Max != "":
		doc += " From " + k.Min + " to " + k.Max + "."
	case k.Min != "":
		doc += " At least " + k.Min + "."
	case k.Max != "":
		doc += " At most " + k.Max + "."
	}
	if k.Private {
		doc += " A file must be readable by its owner alone."
	}
	if k.Only != "" {
		doc += " For " + k.Only + "."
	}
	return strings.ReplaceAll(doc, "|", "\\|")
}
