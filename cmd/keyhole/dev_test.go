package main_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

const seeded = "web/production/STRIPE_KEY"

// curlLine takes URL and token out of what dev prints.
var curlLine = regexp.MustCompile(`Authorization: Bearer ([A-Za-z0-9._-]+)" \\\n\s+(\S+)`)

func TestDevPrintsACurlLineThatWorks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	p := dev(t, dir)
	var m []string
	for deadline := time.Now().Add(proxytest.Patience); m == nil && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		m = curlLine.FindStringSubmatch(p.Stdout.String())
	}
	if m == nil {
		t.Fatalf("no curl line in %s", p.Stdout.String())
	}
	req, err := http.NewRequest(http.MethodGet, m[2], nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m[1])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != 200 || !strings.Contains(string(body), `"path":"`+seeded+`"`) {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	for _, want := range []string{filepath.Join(dir, "audit", "audit.jsonl"), "builtin:scope"} {
		awaitText(t, p.Stdout, want, 1)
	}
	for name, want := range map[string]os.FileMode{
		"": 0o700 | os.ModeDir, "keyhole.yaml": 0o600, "vault.db": 0o600, "state.db": 0o600, "audit/audit.jsonl": 0o600,
		"keys/signing.pem": 0o600, "keys/jwks.json": 0o600, "keys/master.key": 0o600, "keys/audit.key": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%q: got mode %v (%v), want %v", name, info.Mode(), err, want)
		}
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("after an interrupt: got exit code %d, want 0", code)
	}
	if _, err := os.Stat(filepath.Join(dir, "server.json")); !os.IsNotExist(err) {
		t.Errorf("server.json stays behind: %v", err)
	}
	keyhole(t, 0, "", "audit", "verify", "--dir", dir, "--require-seal")
}

func TestASecondStartFindsEverythingAsItWas(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	keyhole(t, 0, "changed", "set", seeded, "--dir", dir)
	keyhole(t, 0, "added", "set", "team/a/KEY", "--dir", dir)
	before := keys(t, dir)
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	p = dev(t, dir)
	for path, want := range map[string]string{seeded: "changed", "team/a/KEY": "added"} {
		if got, _ := keyhole(t, 0, "", "get", path, "--dir", dir); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if got := keys(t, dir); got != before {
		t.Error("the keys or the configuration changed")
	}
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
}

func keys(t *testing.T, dir string) string {
	t.Helper()
	var all string
	for _, name := range []string{"keyhole.yaml", "keys/signing.pem", "keys/jwks.json", "keys/master.key", "keys/audit.key"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
	}
	return all
}

func TestServeRunsADevDirectory(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	out, _ := keyhole(t, 0, "", "token", "create", "--dir", dir, "--scope", "read:web/production/*")
	p := serveDir(t, dir)
	req, err := http.NewRequest(http.MethodGet, p.Server.Native+"/v1/secrets/"+seeded, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(out))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != 200 {
		t.Errorf("got %d", resp.StatusCode)
	}
}
