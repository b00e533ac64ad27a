package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/porttest"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault/baotest"
)

// documents are those whose examples are run: blocks of sh in order, in one shell, and blocks of yaml as configurations.
// What they use besides keyhole and the tools of every system is openssl. docs/upstreams.md and docs/identity.md have
// tests of their own.
var documents = []string{"../../README.md", "../../docs/configuration.md", "../../docs/audit.md", "../../docs/operations.md"}

var fence = regexp.MustCompile("(?ms)^```(sh|yaml)\n(.*?)\n```$")

func TestExamplesInDocuments(t *testing.T) {
	for _, file := range documents {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text := string(read(t, file))
			if _, err := exec.LookPath("openssl"); err != nil && strings.Contains(text, "openssl") {
				t.Skip("openssl is not here")
			}
			blocks := fence.FindAllStringSubmatch(text, -1)
			if len(blocks) == 0 {
				t.Fatal("no examples")
			}
			var script strings.Builder
			for i, b := range blocks {
				if b[1] == "yaml" {
					parseExample(t, fmt.Sprintf("block %d", i+1), b[2])
					continue
				}
				script.WriteString(b[2] + "\n")
			}
			runExample(t, script.String())
		})
	}
}

// Connecting is tried against a real OpenBao.
func TestExamplesWithAVault(t *testing.T) {
	bao := baotest.Start(t)
	tools := t.TempDir()
	if err := os.Symlink(os.Getenv(baotest.Env), filepath.Join(tools, "bao")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	t.Setenv("HOME", tools)
	t.Setenv("BAO_ADDR", bao.URL)
	t.Setenv("BAO_TOKEN", bao.Token)
	page := upstreamsPage(t)
	for _, other := range []string{aboutAWS, aboutKeyhole} {
		before, _, after := cut(t, page, other)
		page = before + after
	}
	runBlocks(t, page)
}

// Two nodes, one of which reads the other.
func TestExamplesWithAnotherKeyhole(t *testing.T) {
	_, part, _ := cut(t, upstreamsPage(t), aboutKeyhole)
	runBlocks(t, part)
}

// runBlocks runs all examples of a text, in one shell.
func runBlocks(t *testing.T, text string) {
	t.Helper()
	var script strings.Builder
	for _, b := range fence.FindAllStringSubmatch(text, -1) {
		script.WriteString(b[2] + "\n")
	}
	runExample(t, script.String())
}

// Parts of the page on upstreams that have tests of their own, as their titles begin.
const (
	aboutAWS     = "AWS "
	aboutKeyhole = "Another Keyhole"
)

func upstreamsPage(t *testing.T) string {
	t.Helper()
	return string(read(t, "../../docs/upstreams.md"))
}

// cut finds the part of a page with this title, and what stands before and after it.
func cut(t *testing.T, page, title string) (before, part, after string) {
	t.Helper()
	before, rest, found := strings.Cut(page, "\n## "+title)
	part, after, more := strings.Cut(rest, "\n## ")
	if !found || !more {
		t.Fatalf("the page has no part %q", title)
	}
	return before, part, "\n## " + after
}

// The table of the record has every member that a record can have, and no other.
func TestEveryMemberOfARecordIsDocumented(t *testing.T) {
	text := string(read(t, "../../docs/audit.md"))
	documented := map[string]bool{}
	_, table, _ := strings.Cut(text, "\n| member |")
	table, _, _ = strings.Cut(table, "\n\n")
	for row := range strings.Lines(table) {
		names, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		for _, m := range code.FindAllStringSubmatch(names, -1) {
			documented[m[1]] = true
		}
	}
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	lines := string(read(t, "../../proxy/audit/testdata/lines.jsonl")) + string(read(t, filepath.Join(dir, "audit", "audit.jsonl")))
	// What these logs have no reason to write.
	written := map[string]bool{"rotated": true, "public_key": true, "torn_bytes": true, "continues.instance": true, "continues.seq": true}
	for line := range strings.Lines(lines) {
		var record any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		members(written, "", record)
	}
	if !maps.Equal(written, documented) {
		t.Errorf("got %v, want %v", slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(written)))
	}
}

var code = regexp.MustCompile("`([^`]+)`")

// The table of the record has every action and surface that a record can have.
func TestEveryActionIsDocumented(t *testing.T) {
	text := string(read(t, "../../docs/audit.md"))
	row := func(member string) string {
		_, rest, _ := strings.Cut(text, "\n| `"+member+"` |")
		row, _, _ := strings.Cut(rest, "\n")
		return row
	}
	action := regexp.MustCompile(`(?m)^\tAction\w+ += "(\w+)"`)
	found := action.FindAllStringSubmatch(string(read(t, "../../proxy/audit/record.go")), -1)
	if len(found) < 12 {
		t.Fatalf("got %v", found)
	}
	for _, m := range found {
		if !strings.Contains(row("action"), "`"+m[1]+"`") {
			t.Errorf("docs/audit.md does not name the action %s", m[1])
		}
	}
	for _, surface := range []string{"native", "aws", "cli", "server", "admin"} {
		if !strings.Contains(row("via.surface"), "`"+surface+"`") {
			t.Errorf("docs/audit.md does not name the surface %s", surface)
		}
	}
}

// members collects the paths of a document.
func members(to map[string]bool, at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, v := range v {
			members(to, strings.TrimPrefix(at+"."+name, "."), v)
		}
	case []any:
		for _, v := range v {
			members(to, at+"[]", v)
		}
	default:
		to[at] = true
	}
}

func parseExample(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), devdir.ConfigFile)
	replace(t, file, []byte(text))
	c, err := full.Drivers().Load(file, nil)
	if err == nil {
		err = full.Drivers().Unsupported(c)
	}
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// runExample runs the script where its user would, but on a free port.
func runExample(t *testing.T, script string) {
	t.Helper()
	addr := "127.0.0.1:" + porttest.Reserve(t)
	script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n" + strings.ReplaceAll(script, "127.0.0.1:8640", addr)
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"),
		"KEYHOLE__LISTEN__NATIVE="+addr, "KEYHOLE__LISTEN__ADMIN=127.0.0.1:0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
