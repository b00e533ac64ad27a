package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/api"
)

// A project token is made, used, listed and ended, with a server and without one; the server never has it again.
func TestProjectToken(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	create := []string{"token", "create", "--dir", dir, "--environment", "production", "--scope", "read:web/production/*", "--base", "web/production"}
	out, stderr := keyhole(t, 0, "", create...)
	token := strings.TrimSpace(out)
	if !strings.HasPrefix(token, "kh_production_") || !strings.Contains(stderr, "shown this once") {
		t.Fatalf("got %q and %q", out, stderr)
	}
	reads := func(code int) {
		t.Helper()
		keyhole(t, code, "", "get", seeded, "--url", p.Server.Native, "--token", token)
	}
	reads(0)
	// Whoever finds it can tell what it is, and revoke it by its id; what only looks like one is told apart.
	info, _ := keyhole(t, 0, out, "token", "inspect")
	id := strings.Fields(stderr)[0]
	if !strings.HasPrefix(id, "sha256:") || !strings.Contains(info, strings.TrimSuffix(id, ",")) || !strings.Contains(info, "production") || strings.Contains(info, token) {
		t.Errorf("got %q of %s", info, id)
	}
	if _, stderr := keyhole(t, 1, token[:len(token)-1]+"x", "token", "inspect"); !strings.Contains(stderr, "checksum") {
		t.Errorf("got %q", stderr)
	}
	keyhole(t, 3, "", "set", seeded, "--url", p.Server.Native, "--token", token, "--file", "/dev/null")
	keyhole(t, 3, "", "get", seeded, "--url", p.Server.Native, "--token", token[:len(token)-1]+"x")
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	// Without a server the same is done in process, and the next server knows of it.
	other, _ := keyhole(t, 0, "", "token", "create", "--dir", dir, "--environment", "preview", "--scope", "read:web/preview/*", "--subject", "bob", "--ttl", "1h")
	p = dev(t, dir)
	reads(0)
	out, _ = keyhole(t, 0, "", "token", "list", "--dir", dir, "-o", "json")
	var list api.ProjectTokens
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Data) != 2 {
		t.Fatalf("got %s (%v)", out, err)
	}
	first, second := list.Data[0], list.Data[1]
	if first.Environment != "production" || first.LastUsed == "" || first.CreatedBy != "cli" || second.Subject != "bob" || second.LastUsed != "" {
		t.Errorf("got %+v", list.Data)
	}
	keyhole(t, 0, token, "token", "revoke", "--url", p.Server.Native)
	reads(3)
	keyhole(t, 0, "", "revoke", "--dir", dir, "--token-id", second.TokenID, "--reason", "x")
	keyhole(t, 3, "", "get", seeded, "--url", p.Server.Native, "--token", strings.TrimSpace(other))
	out, _ = keyhole(t, 0, "", "token", "list", "--dir", dir)
	if strings.Count(out, "revoked") != 2 || strings.Contains(out, token) {
		t.Errorf("got %s", out)
	}
	for _, row := range []struct {
		environment, ttl string
		code             int
		says             string
	}{
		{"Production", "1h", 2, "an environment is"},
		{"", "1h", 2, "--environment is empty"}, // as from a variable that is not set
		{"x", "1s", 2, "from a minute to 400 days"},
		{"x", "10ms", 2, "from a minute to 400 days"},
		{"x", "-1h", 2, "from a minute to 400 days"},
		{"x", "2500000h", 2, "from a minute to 400 days"},
	} {
		out, stderr := keyhole(t, row.code, "", "token", "create", "--dir", dir, "--scope", "read:a", "--environment", row.environment, "--ttl", row.ttl)
		if out != "" || !strings.Contains(stderr, row.says) {
			t.Errorf("%q for %s: got %q and %q", row.environment, row.ttl, out, stderr)
		}
	}
	for _, file := range []string{dir + "/state.db", dir + "/audit/audit.jsonl"} {
		if text := string(read(t, file)); strings.Contains(text, token) || strings.Contains(text, token[len("kh_production_"):]) {
			t.Errorf("%s holds the token", file)
		}
	}
	keyhole(t, 0, "", "audit", "verify", "--dir", dir)
}
