package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

const workerRule = `  trust:
    - name: worker
      template: key
      with: {client_id: worker}
      jwks: file:keys/worker.jwks.json
      map: {scope: ["read:web/production/*", "list:web/production/*"]}
upstreams:
`

// A key that is made on one machine and registered on the server's gets its client exactly what the rule maps to, from a
// server that goes on running.
func TestClientKey(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	document(t, p, "upstreams:\n", workerRule)
	await(t, p, refused, 1) // its keys are still to come
	private := filepath.Join(t.TempDir(), "worker.key")
	public, stderr := keyhole(t, 0, "", "key", "new", "worker", "--out", private)
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("got %v (%v)", info, err)
	}
	key := string(read(t, private))
	var jwk map[string]string
	if err := json.Unmarshal([]byte(key), &jwk); err != nil || strings.Count(key, "\n") != 1 || jwk["d"] == "" || jwk["client_id"] != "worker" {
		t.Fatalf("got %d lines, %v", strings.Count(key, "\n"), err)
	}
	if strings.Contains(public+stderr, jwk["d"]) || !strings.Contains(stderr, "keyhole trust add-key worker '"+strings.TrimSpace(public)+"'") {
		t.Errorf("got %s%s", public, stderr)
	}
	keyhole(t, 1, "", "key", "new", "worker", "--out", private)
	if string(read(t, private)) != key {
		t.Fatal("the key was overwritten")
	}

	environ := []string{"KEYHOLE_URL=" + p.Server.Native, "KEYHOLE_KEY=" + strings.TrimSpace(key)}
	run := func(code int, args ...string) (string, string) {
		t.Helper()
		stdout, stderr, got := proxytest.Run(t, bin, "", environ, args...)
		if got != code {
			t.Fatalf("%v: got exit code %d, want %d: %s%s", args, got, code, stdout, stderr)
		}
		return stdout, stderr
	}
	if _, stderr := run(3, "get", seeded); !strings.Contains(stderr, "invalid_client") || !strings.Contains(stderr, "trust add-key") {
		t.Errorf("before it is registered: got %s", stderr)
	}
	// The private half is not for the server, wherever it comes from.
	for _, args := range [][]string{{"--dir", dir, key}, {"--dir", dir, "--file", private}} {
		if _, stderr := keyhole(t, 1, "", append([]string{"trust", "add-key", "worker"}, args...)...); !strings.Contains(stderr, "private half") || strings.Contains(stderr, jwk["d"]) {
			t.Errorf("got %s", stderr)
		}
	}
	out, _ := keyhole(t, 0, public, "trust", "add-key", "worker", "--dir", dir, "-o", "json")
	var added struct {
		KeyID string `json:"key_id"`
		Keys  int    `json:"keys"`
	}
	if err := json.Unmarshal([]byte(out), &added); err != nil || added.KeyID != jwk["kid"] || added.Keys != 1 {
		t.Fatalf("got %s (%v)", out, err)
	}
	keyhole(t, 1, public, "trust", "add-key", "worker", "--dir", dir) // again
	await(t, p, taken, 1)
	run(0, "get", seeded)
	if out, _ := run(0, "list", "web/production"); !strings.Contains(out, seeded) {
		t.Errorf("a listing of more than its scope: got %s", out)
	}
	if _, stderr := run(3, "get", "web/preview/X"); !strings.Contains(stderr, "scope_denied") {
		t.Errorf("outside its scope: got %s", stderr)
	}
	run(3, "delete", seeded)

	// The token permits what the command asked for, which is in the record.
	log, _ := keyhole(t, 0, "", "audit", "grep", "--dir", dir, "--action", "token_exchange")
	if !strings.Contains(log, "for read:"+seeded+`"`) || !strings.Contains(log, `"trust":"worker","iss":"worker"`) {
		t.Errorf("got %s", log)
	}
	if out, _ := keyhole(t, 0, "", "audit", "grep", "--dir", dir, "--action", "trust_add_key"); strings.Count(out, "\n") != 8 || !strings.Contains(out, "key_id "+added.KeyID+" for rule worker") {
		t.Errorf("got %s, want a pair for each command", out)
	}
	// A token that is given goes before the key; a key that is none is said to be so.
	environ = append(environ, "KEYHOLE_TOKEN=nonsense")
	if _, stderr := run(3, "get", seeded); !strings.Contains(stderr, "token_invalid") {
		t.Errorf("got %s", stderr)
	}
	environ = []string{"KEYHOLE_URL=" + p.Server.Native, "KEYHOLE_KEY=" + public}
	if _, stderr := run(2, "get", seeded); !strings.Contains(stderr, "KEYHOLE_KEY") {
		t.Errorf("got %s", stderr)
	}
	// Revoked, it gets nothing more, at once.
	environ = []string{"KEYHOLE_URL=" + p.Server.Native, "KEYHOLE_KEY=" + key}
	keyhole(t, 0, "", "revoke", "--dir", dir, "--key-id", added.KeyID, "--reason", "stolen")
	if _, stderr := run(3, "get", seeded); !strings.Contains(stderr, "invalid_client") {
		t.Errorf("got %s", stderr)
	}
	keyhole(t, 0, "", "audit", "verify", "--dir", dir)
}

// Without --out the private half is all of standard output, and nothing is written.
func TestKeyNewPrintsTheKeyAlone(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	stdout, stderr := keyhole(t, 0, "", "key", "new", "worker-1")
	var jwk map[string]string
	if err := json.Unmarshal([]byte(stdout), &jwk); err != nil || strings.Count(stdout, "\n") != 1 || jwk["client_id"] != "worker-1" || jwk["kty"] != "OKP" {
		t.Errorf("got %s (%v)", stdout, err)
	}
	if strings.Contains(stderr, jwk["d"]) || !strings.Contains(stderr, "KEYHOLE_KEY") || !strings.Contains(stderr, "client_id: worker-1") {
		t.Errorf("got %s", stderr)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("something was written: %v (%v)", entries, err)
	}
	for _, args := range [][]string{{}, {""}, {"a b"}, {"https://x"}, {"a", "b"}} {
		keyhole(t, 2, "", append([]string{"key", "new"}, args...)...)
	}
	keyhole(t, 2, "", "trust", "add-key", "worker", "--dir", dir)
	keyhole(t, 2, "", "trust", "add-key", "worker", "{}", "--file", "x")
}
