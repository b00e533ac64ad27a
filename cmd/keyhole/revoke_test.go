package main_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// Revoking, listing and lifting, with a server and without one; what is revoked stays so over a restart.
func TestRevokeListLift(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	token, _ := keyhole(t, 0, "", "token", "create", "--dir", dir, "--scope", "read:**", "--subject", "app")
	token = strings.TrimSpace(token)
	reads := func(code int) {
		t.Helper()
		keyhole(t, code, "", "get", seeded, "--url", p.Server.Native, "--token", token)
	}
	reads(0)
	out, stderr := keyhole(t, 0, "", "revoke", "--dir", dir, "--subject", "app", "--reason", "left")
	if out != "" || !strings.Contains(stderr, "subject app is revoked; its id is ") {
		t.Errorf("got %q and %q", out, stderr)
	}
	reads(3)
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	out, _ = keyhole(t, 0, "", "revoke", "list", "--dir", dir, "-o", "json")
	var list struct {
		Data []struct{ ID, Subject, Reason, By string }
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Data) != 1 || list.Data[0].Subject != "app" || list.Data[0].By != "cli" {
		t.Fatalf("got %s (%v)", out, err)
	}
	out, _ = keyhole(t, 0, "", "revoke", "list", "--dir", dir)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 2 || !strings.Contains(lines[1], "subject app") || !strings.Contains(lines[1], "left") {
		t.Errorf("got %s", out)
	}
	p = dev(t, dir)
	reads(3)
	_, stderr = keyhole(t, 0, "", "revoke", "lift", list.Data[0].ID, "--dir", dir)
	if !strings.Contains(stderr, "subject app is no longer revoked") {
		t.Errorf("got %q", stderr)
	}
	reads(0)
	keyhole(t, 4, "", "revoke", "lift", list.Data[0].ID, "--dir", dir)

	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	_, stderr = keyhole(t, 0, "", "revoke", "--dir", dir, "--secret", "web/production/*", "--reason", "leaked", "--until", end)
	if !strings.Contains(stderr, "secret web/production/* is revoked until "+end) {
		t.Errorf("got %q", stderr)
	}
	reads(3)
	// A subject and a reason cannot make another line of it.
	_, stderr = keyhole(t, 0, "", "revoke", "--dir", dir, "--subject", "a\u202eb", "--reason", "c\u2028d é")
	out, _ = keyhole(t, 0, "", "revoke", "list", "--dir", dir)
	if strings.ContainsAny(out+stderr, "\u202e\u2028") || !strings.Contains(out, `subject "a\u202eb"`) || !strings.Contains(out, `"c\u2028d é"`) {
		t.Errorf("got %s%s", stderr, out)
	}
	// A name that no rule has is revoked, and told to whoever mistyped it.
	for name, warns := range map[string]bool{"vercel-wbe": true, "local\u202e": true, "project": false} {
		_, stderr := keyhole(t, 0, "", "revoke", "--dir", dir, "--trust", name, "--reason", "x")
		if strings.Contains(stderr, "warning: no trust rule here is called ") != warns || !strings.Contains(stderr, "is revoked") || strings.Contains(stderr, "\u202e") {
			t.Errorf("%q: got %q", name, stderr)
		}
	}
	for _, args := range [][]string{
		{},
		{"--subject", "a"},
		{"--reason", "x"},
		{"--subject", "a", "--trust", "b", "--reason", "x"},
		{"other"},
		{"--secret", "a//b", "--reason", "x"},
		{"--subject", "a", "--reason", "x", "--until", "soon"},
		{"lift"},
		{"list", "x"},
	} {
		keyhole(t, 2, "", append(append([]string{"revoke"}, args...), "--dir", dir)...)
	}
	keyhole(t, 0, "", "audit", "verify", "--dir", dir)
}

// Whoever holds a token may end it, at a URL or in a directory; it is read from standard input alone.
func TestTokenRevoke(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	for _, where := range [][]string{{"--url", p.Server.Native}, {"--dir", dir}} {
		token, _ := keyhole(t, 0, "", "token", "create", "--dir", dir, "--scope", "read:**", "--subject", "app")
		get := []string{"get", seeded, "--url", p.Server.Native, "--token", strings.TrimSpace(token)}
		keyhole(t, 0, "", get...)
		out, stderr := keyhole(t, 0, token, append([]string{"token", "revoke"}, where...)...)
		if out != "" || !strings.Contains(stderr, "token_id ") || !strings.Contains(stderr, "is revoked until ") {
			t.Errorf("got %q and %q", out, stderr)
		}
		if _, stderr = keyhole(t, 3, "", get...); !strings.Contains(stderr, "token_revoked") {
			t.Errorf("got %q", stderr)
		}
		keyhole(t, 3, token, append([]string{"token", "revoke"}, where...)...)
	}
	keyhole(t, 2, "", "token", "revoke", "--dir", dir)
	keyhole(t, 3, "nonsense", "token", "revoke", "--dir", dir)
}
