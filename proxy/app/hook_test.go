package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

const hooksOfDocument = `hooks:
  rotation: {key: "file:keys/hook.key", allow: ["web/production/**"]}
`

// withHook is a server with a hook whose key is in a file.
func withHook(t *testing.T, key string) *proxytest.Server {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeHookKey(t, dir, "hook.key", key)
	return proxytest.NewServer(t, proxytest.Options{Dir: dir, Document: proxytest.Document + hooksOfDocument})
}

func writeHookKey(t *testing.T, dir, name, key string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "keys", name), []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// documentedSignature runs the lines of the README that sign a message, in the server's directory.
func documentedSignature(t *testing.T, dir, body string) (timestamp, signature string) {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl on this machine")
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var line string
	for l := range strings.Lines(string(readme)) {
		if command, ok := strings.CutPrefix(l, "$ "); ok && strings.HasPrefix(command, "signature=") {
			line = command
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", "now=$(date +%s)\n"+line+`echo "$now $signature"`)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "body="+body)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running %q: %v", line, err)
	}
	timestamp, signature, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
	return timestamp, signature
}

func sendHook(t *testing.T, s *proxytest.Server, name, timestamp, signature, body string) (int, string) {
	t.Helper()
	target := s.Target()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target.URL+"/v1/hooks/"+name, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Keyhole-Timestamp", timestamp)
	r.Header.Set("X-Keyhole-Signature", signature)
	resp, err := target.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// What the README says about signing is what a server takes, once, and for that body only.
func TestHookSignedByOpenSSL(t *testing.T) {
	s := withHook(t, strings.Repeat("5f", 32))
	const body = `{"path":"web/production/DB"}`
	at, signature := documentedSignature(t, s.Dir, body)
	if code, text := sendHook(t, s, "rotation", at, signature, `{"prefix":"web/production/DB"}`); code != 401 {
		t.Errorf("another body: %d %s", code, text)
	}
	if code, text := sendHook(t, s, "nothing", at, signature, body); code != 401 {
		t.Errorf("another hook: %d %s", code, text)
	}
	code, text := sendHook(t, s, "rotation", at, signature, body)
	var answer struct {
		Data struct{ Generation uint64 }
	}
	if code != 200 || json.Unmarshal([]byte(text), &answer) != nil || answer.Data.Generation != s.App.Proxy.Generation() || answer.Data.Generation == 0 {
		t.Fatalf("got %d %s, want the generation", code, text)
	}
	if code, text = sendHook(t, s, "rotation", at, signature, body); code != 401 || !strings.Contains(text, "taken before") {
		t.Errorf("the same again: %d %s", code, text)
	}
	big := `{"path":"` + strings.Repeat("a", 5000) + `"}`
	if code, text = sendHook(t, s, "rotation", at, signature, big); code != 413 {
		t.Errorf("a large body: %d %s", code, text)
	}
	if code, text = sendHook(t, s, "", at, signature, body); code != 404 {
		t.Errorf("no name: %d %s", code, text)
	}
}

// A key is changed under the server: both are taken while both are named, and then the new one alone.
func TestHookKeyIsRotated(t *testing.T) {
	s := withHook(t, strings.Repeat("01", 32))
	const body = `{"prefix":"web/production"}`
	scope := strings.Replace(hooksOfDocument, `"web/production/**"`, `"web/**"`, 1)
	reload := func(hooks string) {
		t.Helper()
		proxytest.WriteDocument(t, s.Dir, proxytest.Document+hooks)
		c, err := full.Drivers().Load(filepath.Join(s.Dir, devdir.ConfigFile), nil)
		if err == nil {
			err = s.App.Reload(t.Context(), c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	reload(scope)
	at, old := documentedSignature(t, s.Dir, body)
	writeHookKey(t, s.Dir, "old.key", strings.Repeat("01", 32))
	writeHookKey(t, s.Dir, "hook.key", strings.Repeat("02", 32))
	reload(strings.Replace(scope, `"file:keys/hook.key"`, `"file:keys/hook.key", old_key: "file:keys/old.key"`, 1))
	if code, text := sendHook(t, s, "rotation", at, old, body); code != 200 {
		t.Errorf("the old key, while it is named: %d %s", code, text)
	}
	newAt, signature := documentedSignature(t, s.Dir, body)
	if code, text := sendHook(t, s, "rotation", newAt, signature, body); code != 200 {
		t.Errorf("the new key: %d %s", code, text)
	}
	if code, text := sendHook(t, s, "rotation", at, old, body); code != 401 || !strings.Contains(text, "taken before") {
		t.Errorf("again, after a reload: %d %s", code, text)
	}
	reload(scope)
	if code, _ := sendHook(t, s, "rotation", at, old, body); code != 401 {
		t.Errorf("the old key, when it is gone: %d", code)
	}
}
