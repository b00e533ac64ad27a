package main_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

func serveDir(t *testing.T, dir string) *proxytest.Process {
	t.Helper()
	return proxytest.StartBinary(t, bin, dir, "serve", "--config", filepath.Join(dir, devdir.ConfigFile), "--listen", "127.0.0.1:0")
}

// Values keep their exact bytes on every way, with a server and without one.
func TestSetAndGetKeepExactBytes(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	roundTrips := func(t *testing.T) {
		for name, value := range map[string]string{
			"TEXT": "plain", "NEWLINE": "line\n", "EMPTY": "", "BINARY": "\x00\xff\xfe\n", "UNICODE": "pä\u2028ss😀\"\\", "BIG": strings.Repeat("x", 512<<10),
		} {
			keyhole(t, 0, value, "set", "team/"+name, "--dir", dir)
			if got, _ := keyhole(t, 0, "", "get", "team/"+name, "--dir", dir); got != value {
				t.Errorf("%s: got %d bytes, want the %d that were set", name, len(got), len(value))
			}
		}
		file := filepath.Join(t.TempDir(), "value")
		if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
			t.Fatal(err)
		}
		keyhole(t, 0, "", "set", "team/FILE", "--dir", dir, "--file", file)
		if got, _ := keyhole(t, 0, "", "get", "team/FILE", "--dir", dir); got != "from a file" {
			t.Errorf("--file: got %q", got)
		}
		keyhole(t, 0, "", "set", "team/ARG", "from an argument", "--dir", dir)
		if got, _ := keyhole(t, 0, "", "get", "team/ARG", "--dir", dir); got != "from an argument" {
			t.Errorf("argument: got %q", got)
		}
	}
	t.Run("with a server", roundTrips)
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	t.Run("in process", roundTrips)
	keyhole(t, 0, "", "audit", "verify", "--dir", dir)
	out, _ := keyhole(t, 0, "", "audit", "tail", "--dir", dir, "-n", "3")
	if !strings.Contains(out, `"surface":"cli"`) {
		t.Error("a command without a server leaves no record of itself")
	}
}

func TestVersionsMetadataAndConditions(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	keyhole(t, 0, "one", "set", "a/K", "--dir", dir, "--if-version", "0", "--meta", "owner=web", "--meta", "tier=1")
	keyhole(t, 1, "two", "set", "a/K", "--dir", dir, "--if-version", "0")
	keyhole(t, 0, "two", "set", "a/K", "--dir", dir, "--if-version", "1")
	if got, _ := keyhole(t, 0, "", "get", "a/K", "--dir", dir, "--version", "previous"); got != "one" {
		t.Errorf("previous: got %q", got)
	}
	out, _ := keyhole(t, 0, "", "get", "a/K", "--dir", dir, "--output", "json")
	var answer struct {
		Data struct {
			Value    string
			Version  string
			Metadata map[string]string
		}
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Data.Version != "2" || answer.Data.Metadata["owner"] != "web" {
		t.Errorf("--output json: got %s (%v)", out, err)
	}
	out, _ = keyhole(t, 0, "", "list", "a", "--dir", dir)
	if !strings.Contains(out, "a/K") || strings.Contains(out, "two") {
		t.Errorf("list: got %s", out)
	}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	token, _ := keyhole(t, 0, "", "token", "create", "--dir", dir, "--scope", "read:web/production/*", "--ttl", "5m")
	token = strings.TrimSpace(token)
	url := p.Server.Native
	for _, c := range []struct {
		name string
		code int
		args []string
	}{
		{"ok", 0, []string{"get", seeded, "--url", url, "--token", token}},
		{"denied", 3, []string{"get", "web/preview/X", "--url", url, "--token", token}},
		{"bad token", 3, []string{"get", seeded, "--url", url, "--token", "nonsense"}},
		{"not found", 4, []string{"get", "web/production/NOPE", "--url", url, "--token", token}},
		{"not found, by directory", 4, []string{"get", "no/such/SECRET", "--dir", dir}},
		{"unavailable", 5, []string{"get", seeded, "--url", "http://127.0.0.1:1", "--token", token}},
		{"no argument", 2, []string{"get"}},
		{"unknown flag", 2, []string{"get", seeded, "--nope"}},
		{"unknown command", 2, []string{"frobnicate"}},
		{"unknown subcommand", 2, []string{"token", "frobnicate"}},
		{"bad path", 2, []string{"get", "a//b", "--dir", dir}},
		{"no token", 2, []string{"get", seeded, "--url", url}},
		{"value on the command line", 2, []string{"set", seeded, "v", "--url", url, "--token", token}},
		{"two targets", 2, []string{"get", seeded, "--url", url, "--dir", dir}},
		{"ttl above the maximum", 2, []string{"token", "create", "--dir", dir, "--scope", "read:a/*", "--ttl", "2h"}},
		{"bad scope", 2, []string{"token", "create", "--dir", dir, "--scope", "raed:a/*"}},
		{"no directory", 1, []string{"get", seeded, "--dir", filepath.Join(dir, "none")}},
		{"too large", 2, []string{"set", "a/B", "--dir", dir, "--file", bin}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, stderr := keyhole(t, c.code, "", c.args...)
			if c.code != 0 && !strings.HasPrefix(stderr, "keyhole: ") {
				t.Errorf("no error on stderr: %q", stderr)
			}
		})
	}
}

func TestTokenPrintsTheTokenAlone(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	out, stderr := keyhole(t, 0, "", "token", "create", "--dir", dir, "--scope", "read:a/* list:a/**", "--base", "a", "--subject", "ci")
	if strings.Count(out, "\n") != 1 || strings.Count(out, ".") != 2 || stderr != "" {
		t.Errorf("got stdout %q, stderr %q", out, stderr)
	}
	info, _ := keyhole(t, 0, out, "token", "inspect", "--output", "json")
	for _, want := range []string{`"sub": "ci"`, `"scope": "read:a/* list:a/**"`, `"base": "a"`, `"trust": "local"`} {
		if !strings.Contains(info, want) {
			t.Errorf("inspect does not say %s: %s", want, info)
		}
	}
	if _, stderr := keyhole(t, 2, "", "token", "create", "--dir", dir, "--scope", "read:a", "--subject", "a\nb"); !strings.Contains(stderr, "plain text") {
		t.Errorf("a subject of two lines: got %q", stderr)
	}
	// What a token says of itself cannot steer a terminal.
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"a\u001b[31m"}`)) + ".AAAA"
	if info, _ := keyhole(t, 0, forged, "token", "inspect"); strings.Contains(info, "\x1b") || !strings.Contains(info, `"a\x1b[31m"`) {
		t.Errorf("got %q", info)
	}
	log, err := os.ReadFile(filepath.Join(dir, devdir.CLIAudit))
	if err != nil || !strings.Contains(string(log), `"action":"token_create"`) || strings.Contains(string(log), strings.TrimSpace(out)) {
		t.Errorf("the record of the token: %v %s", err, log)
	}
}

func TestConfigCommands(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	file := filepath.Join(dir, devdir.ConfigFile)
	keyhole(t, 0, "", "config", "validate", "--dir", dir)
	rendered, _ := keyhole(t, 0, "", "config", "render", "--config", file)
	asJSON := filepath.Join(dir, "keyhole.json")
	if err := os.WriteFile(asJSON, []byte(rendered), 0o600); err != nil {
		t.Fatal(err)
	}
	again, _ := keyhole(t, 0, "", "config", "render", "--config", asJSON)
	if again != rendered {
		t.Errorf("rendering the rendered document gives another one:\n%s\n%s", rendered, again)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(text), "max_ttl:", "max_tll:", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := keyhole(t, 1, "", "config", "validate", "--config", broken)
	if !strings.Contains(stderr, "broken.yaml:12:3") || !strings.Contains(stderr, `did you mean "max_ttl"`) {
		t.Errorf("got %s", stderr)
	}
	_, stderr = keyhole(t, 1, "", "serve", "--config", broken)
	if !strings.Contains(stderr, "broken.yaml:12:3") {
		t.Errorf("serve: got %s", stderr)
	}
}

// Metadata reads like a label but is none: whoever sets a classification there is told what policies see.
func TestSetTellsTheClassification(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, devdir.ConfigFile)
	proxytest.WriteDocument(t, dir, strings.Replace(proxytest.Document, "set: {classification: restricted}", "set: {classification: internal}", 1))
	p := proxytest.StartBinary(t, bin, dir, "serve", "--config", file)
	told := func(t *testing.T) {
		for _, row := range []struct{ path, said, want string }{
			{"web/production/A", "confidential", ""},
			{"web/production/A", "public", `is confidential, by the labels of the configuration, not "public"`},
			{"web/production/MASTER_KEY", "confidential", `is internal, by the labels of the configuration, not "confidential"`},
			{"web/preview/A", "public", `is none, by the labels of the configuration, not "public"`},
		} {
			_, stderr := keyhole(t, 0, "v", "set", row.path, "--config", file, "--meta", "owner=x", "--meta", "classification="+row.said)
			if row.want == "" && strings.Contains(stderr, "note:") || !strings.Contains(stderr, row.want) {
				t.Errorf("%s, classification=%s: got %q, want %q", row.path, row.said, stderr, row.want)
			}
		}
	}
	t.Run("with a server", told)
	p.Stop(t)
	t.Run("in process", told)
}
