package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
)

// Deleting, looking at versions and going back, with a server and without one.
func TestDeleteVersionsRollback(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	life := func(name string) func(*testing.T) {
		return func(t *testing.T) {
			keyhole(t, 0, "one", "set", name, "--dir", dir)
			keyhole(t, 0, "two", "set", name, "--dir", dir)
			out, _ := keyhole(t, 0, "", "versions", name, "--dir", dir)
			if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "2") || !strings.Contains(lines[2], "previous") {
				t.Errorf("versions: got %s", out)
			}
			var answer struct {
				Data []struct{ Version, State string }
			}
			out, _ = keyhole(t, 0, "", "versions", name, "--dir", dir, "-o", "json")
			if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Data) != 2 || answer.Data[0].State != "current" {
				t.Errorf("versions: got %s (%v)", out, err)
			}
			out, stderr := keyhole(t, 0, "", "rollback", name, "previous", "--dir", dir)
			if out != "" || !strings.Contains(stderr, name+" is now version 3") {
				t.Errorf("rollback: got %q and %q", out, stderr)
			}
			if got, _ := keyhole(t, 0, "", "get", name, "--dir", dir); got != "one" {
				t.Errorf("after the rollback: got %q", got)
			}
			keyhole(t, 4, "", "rollback", name, "9", "--dir", dir)
			out, stderr = keyhole(t, 0, "", "delete", name, "--dir", dir)
			if out != "" || !strings.Contains(stderr, name+" is deleted") {
				t.Errorf("delete: got %q and %q", out, stderr)
			}
			keyhole(t, 4, "", "get", name, "--dir", dir)
			keyhole(t, 4, "", "versions", name, "--dir", dir)
			keyhole(t, 0, "", "delete", name, "--dir", dir)
		}
	}
	t.Run("with a server", life("team/A"))
	token, _ := keyhole(t, 0, "", "token", "create", "--dir", dir, "--scope", "read:**", "--ttl", "5m")
	for _, args := range [][]string{{"delete", seeded}, {"versions", seeded}, {"rollback", seeded, "1"}} {
		keyhole(t, 3, "", append(args, "--url", p.Server.Native, "--token", strings.TrimSpace(token))...)
	}
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	t.Run("in process", life("team/B"))
	keyhole(t, 0, "", "audit", "verify", "--dir", dir)
	for _, args := range [][]string{
		{"delete"}, {"delete", "a//b"}, {"versions", "a", "b"}, {"rollback", "a"}, {"rollback", "a", "current"}, {"rollback", "a", "x y"}, {"rollback", "a", ""},
	} {
		keyhole(t, 2, "", append(args, "--dir", dir)...)
	}
}

// Records are found by who, what, where, when and how it ended.
func TestAuditGrep(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	keyhole(t, 0, "x", "set", "team/A", "--dir", dir)
	keyhole(t, 0, "", "get", "team/A", "--dir", dir)
	keyhole(t, 4, "", "get", "team/NOPE", "--dir", dir)
	keyhole(t, 0, "", "delete", "team/A", "--dir", dir)
	keyhole(t, 0, "", "token", "create", "--dir", dir, "--scope", "read:a/*", "--subject", "ci")
	count := func(want int, args ...string) (out string) {
		t.Helper()
		code := 0
		if want == 0 {
			code = 4
		}
		out, _ = keyhole(t, code, "", append([]string{"audit", "grep", "--dir", dir}, args...)...)
		if got := strings.Count(out, "\n"); got != want {
			t.Errorf("%v: got %d records, want %d\n%s", args, got, want, out)
		}
		return out
	}
	out := count(2, "--action", "delete")
	var intent struct{ ID string }
	if err := json.Unmarshal([]byte(strings.SplitAfter(out, "\n")[0]), &intent); err != nil {
		t.Fatal(err)
	}
	count(2, "--decision", intent.ID)
	count(2, "--action", "read", "--subject", "cli")
	count(1, "--action", "read", "--path", "team/A")
	count(1, "--code", "not_found")
	count(6, "--path", "team/*", "--since", "1h")
	count(0, "--path", "team/*", "--until", "1h")
	count(0, "--path", "team/*", "--since", "2999-01-01T00:00:00Z")
	count(1, "--path", "**/NOPE", "--effect", "allow")
	count(0, "--effect", "deny")
	count(1, "--subject", "ci", "token_create")
	count(1, "--action", "read", "--version", "1")
	count(0, "no such text")
	count(2, "--action", "token_create", "--file", filepath.Join(dir, devdir.CLIAudit))
	count(0, "--action", "read", "--file", filepath.Join(dir, devdir.CLIAudit))
	for _, args := range [][]string{{"--path", "a//b"}, {"--since", "yesterday"}, {"--until", "-1h"}, {"a", "b"}} {
		keyhole(t, 2, "", append([]string{"audit", "grep", "--dir", dir}, args...)...)
	}
	file := filepath.Join(dir, "audit/audit.jsonl")
	text := read(t, file)
	replace(t, file, append(text, text[:20]...))
	count(1, "--action", "read", "--path", "team/A") // a line that is being written
	replace(t, file, []byte(strings.Replace(string(text), `"effect":"allow"`, `"effect":"Allow"`, 1)))
	_, stderr := keyhole(t, 1, "", "audit", "grep", "--dir", dir)
	if !strings.Contains(stderr, "audit.jsonl: line ") {
		t.Errorf("an edited log: got %q", stderr)
	}
}

// The schema and the explanation are of the documents that are served.
func TestConfigSchemaAndExplain(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	out, _ := keyhole(t, 0, "", "config", "schema")
	if !json.Valid([]byte(out)) || !strings.Contains(out, `"soft_ttl"`) {
		t.Errorf("schema: got %.200s", out)
	}
	out, _ = keyhole(t, 0, "", "config", "explain", "--dir", dir)
	for _, want := range []string{"cache.entries", "default", "keyhole.yaml:", "file:keys/signing.pem"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain does not say %q:\n%s", want, out)
		}
	}
	key := read(t, filepath.Join(dir, "keys/signing.pem"))
	if strings.Contains(out, string(key[40:60])) {
		t.Error("explain shows a key")
	}
	out, _ = keyhole(t, 0, "", "config", "explain", "log.", "--dir", dir, "-o", "json")
	var settings []struct{ Key, Value, Origin string }
	if err := json.Unmarshal([]byte(out), &settings); err != nil || len(settings) != 2 || settings[0].Key != "log.level" {
		t.Errorf("explain log.: got %s (%v)", out, err)
	}
	keyhole(t, 4, "", "config", "explain", "nothing.", "--dir", dir)
	keyhole(t, 1, "", "config", "explain", "--dir", filepath.Join(dir, "none"))
}

// Policies answer about requests that nobody made, as they would about real ones.
func TestPolicyEval(t *testing.T) {
	dir := t.TempDir()
	p := serveDocument(t, dir, "")
	p.Stop(t)
	before := read(t, filepath.Join(dir, "audit/audit.jsonl"))
	for _, c := range []struct {
		code int
		args []string
		want string
	}{
		{0, []string{"web/production/A"}, `"effect": "allow"`},
		{3, []string{"web/production/MASTER_KEY"}, `"rule": "attributes/no-restricted"`},
		{3, []string{"web/production/A", "--scope", "read:web/preview/*"}, `"code": "scope_denied"`},
		{0, []string{"web/preview/A", "--action", "write"}, `"environment": "preview"`},
		{0, []string{"nowhere/A"}, `"path": "nowhere/A"`},
	} {
		out, _ := keyhole(t, c.code, "", append([]string{"policy", "eval", "--dir", dir, "-o", "json"}, c.args...)...)
		if !strings.Contains(out, c.want) {
			t.Errorf("%v: got %s, want %s", c.args, out, c.want)
		}
	}
	out, _ := keyhole(t, 3, "", "policy", "eval", "web/production/MASTER_KEY", "--dir", dir)
	if !strings.Contains(out, "deny") || !strings.Contains(out, "classification=restricted environment=production") {
		t.Errorf("table: got %s", out)
	}
	for _, args := range [][]string{
		{},
		{"a//b"},
		{"a", "--action", "delete"},
		{"a", "--scope", "read"},
		{"a", "--claim", "x"},
		{"a", "--claim", "x=1", "--claim", "x=2"},
		{"a", "--source-ip", "x"},
		{"a", "--time", "noon"},
		{"a", "--version", "a b"},
	} {
		keyhole(t, 2, "", append([]string{"policy", "eval", "--dir", dir}, args...)...)
	}
	if after := read(t, filepath.Join(dir, "audit/audit.jsonl")); string(after) != string(before) {
		t.Error("an evaluation is recorded")
	}
	if err := os.Remove(filepath.Join(dir, "keys/master.key")); err != nil {
		t.Fatal(err)
	}
	keyhole(t, 0, "", "policy", "eval", "web/production/A", "--dir", dir) // no vault is opened
}
