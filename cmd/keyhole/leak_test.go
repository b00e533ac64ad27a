package main_test

import (
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

const (
	canary      = "canary-value-e1d65a28-never-seen"
	canaryInOdd = "canary\"with\nodd\\bytes-e1d65a28"
)

// In a whole run nothing but the answers to reads holds a value: not the log at debug level, not the audit log, not a
// file, not an error.
func TestNoValueInAnyOutput(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	url := p.Server.Native
	token := proxytest.Issuer(p.Config)(t, map[string]string{"scope": "read:c/** write:c/** list:c/**"})
	var seen strings.Builder // everything that is not an answer to a read
	keyhole(t, 0, canary, "set", "c/PLAIN", "--dir", dir, "--meta", "owner=x")
	keyhole(t, 0, canaryInOdd, "set", "c/ODD", "--dir", dir)
	if got, _ := keyhole(t, 0, "", "get", "c/PLAIN", "--dir", dir); got != canary {
		t.Fatalf("got %q", got)
	}
	for _, r := range []struct{ method, path, body string }{
		{http.MethodPut, "/v1/secrets/c/F", `{"fields":{"a":"` + canary + `"}}`},
		{http.MethodPut, "/v1/secrets/c/PLAIN", `{"value":"` + canary + `","if_version":"9"}`},
		{http.MethodPut, "/v1/secrets/c/PLAIN", `{"value":"` + canary + `","vaule":1}`},
		{http.MethodPut, "/v1/secrets/c/PLAIN", `{"value":"` + canary + `"`},
		{http.MethodPut, "/v1/secrets/c/PLAIN", `{"value":"` + canary + `","encoding":"base64"}`},
		{http.MethodPut, "/v1/secrets/c/PLAIN", `{"value":"` + canary + `","metadata":{"a":1}}`},
		{http.MethodPut, "/v1/secrets/nowhere%20/PLAIN", `{"value":"` + canary + `"}`},
		{http.MethodGet, "/v1/secrets?prefix=c", ""},
		{http.MethodGet, "/v1/secrets/c/PLAIN?version=77", ""},
		{http.MethodGet, "/v1/whoami", ""},
	} {
		_, body := send(t, r.method, url+r.path, token, r.body)
		seen.WriteString(body)
	}
	_, stderr := keyhole(t, 1, canary, "set", "c/PLAIN", "--dir", dir, "--if-version", "0")
	seen.WriteString(stderr)
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	seen.WriteString(p.Stdout.String())
	seen.WriteString(p.Stderr.String())
	tail, _ := keyhole(t, 0, "", "audit", "tail", "--dir", dir, "-n", "1000")
	seen.WriteString(tail)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		seen.Write(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{canary, canaryInOdd, canary[:20]} {
		for form, text := range map[string]string{
			"plain": c, "hex": hex.EncodeToString([]byte(c)), "base64": base64.StdEncoding.EncodeToString([]byte(c))[:20],
			"reversed quotes": strings.ReplaceAll(c, `"`, `\"`),
		} {
			if strings.Contains(seen.String(), text) {
				t.Errorf("a value is seen (%s)", form)
			}
		}
	}
	if strings.Contains(seen.String(), token) {
		t.Error("a token is seen")
	}
}

// send makes one request and returns status and body.
func send(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	client := &http.Client{Timeout: proxytest.Patience}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var b strings.Builder
	if _, err := copyAll(&b, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}
