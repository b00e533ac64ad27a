package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// The configured rotation and retention are in force, and "audit verify" says what it can of the files that are left.
func TestVerifyAfterRetention(t *testing.T) {
	dir := t.TempDir()
	document := strings.Replace(fmt.Sprintf(killDocument, "process"), "rotate: 32KiB, keep: 100000", "rotate: 4KiB, keep: 3", 1)
	proxytest.WriteDocument(t, dir, document)
	p := proxytest.StartBinary(t, bin, dir, "serve", "--config", filepath.Join(dir, devdir.ConfigFile))
	log := filepath.Join(dir, "audit", "audit.jsonl")
	token := proxytest.Issuer(p.Config)(t, map[string]string{"scope": "read:load/**"})

	// Nothing is gone yet: the first position that older verifications name.
	report := verifyJSON(t, "--dir", dir)
	if report.After != "" || len(report.Files) != 1 {
		t.Fatalf("got %+v, want one file from the beginning of the log", report)
	}
	for removed := ""; removed == ""; {
		files, err := audit.Files(log)
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			get(t, p.Server.Native+"/v1/secrets/load/X", token)
		}
		if _, err := os.Stat(files[0]); len(files) > 1 && err != nil {
			removed = files[0]
		}
	}
	out, _ := keyhole(t, 0, "", "audit", "verify", "--dir", dir)
	if !strings.Contains(out, "note: the log begins after record ") || !strings.Contains(out, "older files are gone") {
		t.Errorf("verify does not say where the log begins:\n%s", out)
	}
	report = verifyJSON(t, "--dir", dir)
	if len(report.Files) != 4 || report.After == "" || report.Rotations != 3 {
		t.Errorf("got %+v, want three full files and the current one, and where they begin", report)
	}
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}

	// The files by themselves need a word on their beginning; the position that they name is one.
	report = verifyJSON(t, "--dir", dir)
	_, stderr := keyhole(t, 1, "", append([]string{"audit", "verify", "--dir", dir}, report.Files...)...)
	if !strings.Contains(stderr, "the log begins before this") {
		t.Errorf("got %s, want that the log begins before", stderr)
	}
	keyhole(t, 0, "", append([]string{"audit", "verify", "--dir", dir, "--oldest-gone", "--require-seal"}, report.Files...)...)
	out, _ = keyhole(t, 0, "", append([]string{"audit", "verify", "--dir", dir, "--after", report.After}, report.Files...)...)
	if !strings.Contains(out, "follows the given position") {
		t.Errorf("got %s, want that the files follow the position", out)
	}
	older := verifyJSON(t, append([]string{"--dir", dir, "--oldest-gone"}, report.Files[:2]...)...)
	newer := verifyJSON(t, append([]string{"--dir", dir, "--after", older.Last}, report.Files[2:]...)...)
	if newer.After != older.Last || newer.Last != report.Last {
		t.Errorf("the newer files go from %s to %s, want from %s to %s", newer.After, newer.Last, older.Last, report.Last)
	}
	keyhole(t, 1, "", append([]string{"audit", "verify", "--dir", dir, "--after", older.Last}, report.Files[3:]...)...)
	keyhole(t, 2, "", "audit", "verify", "--dir", dir, "--after", "x")

	// A file in the middle, and more of the oldest than retention takes.
	middle, err := os.ReadFile(report.Files[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(report.Files[1]); err != nil {
		t.Fatal(err)
	}
	keyhole(t, 1, "", "audit", "verify", "--dir", dir)
	if err := os.WriteFile(report.Files[1], middle, 0o600); err != nil {
		t.Fatal(err)
	}
	keyhole(t, 0, "", "audit", "verify", "--dir", dir)
	if err := os.Remove(report.Files[0]); err != nil {
		t.Fatal(err)
	}
	keyhole(t, 1, "", "audit", "verify", "--dir", dir)
	keyhole(t, 0, "", "audit", "verify", "--dir", dir, "--oldest-gone")
}

type verifyReport struct {
	Files       []string
	Rotations   int
	After, Last string
}

func verifyJSON(t *testing.T, args ...string) (r verifyReport) {
	t.Helper()
	out, _ := keyhole(t, 0, "", append([]string{"audit", "verify", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

func get(t *testing.T, url, token string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// Following the log crosses from file to file without losing a record.
func TestTailFollowsRotation(t *testing.T) {
	dir := t.TempDir()
	proxytest.WriteDocument(t, dir, strings.Replace(fmt.Sprintf(killDocument, "process"), "32KiB", "4KiB", 1))
	p := proxytest.StartBinary(t, bin, dir, "serve", "--config", filepath.Join(dir, devdir.ConfigFile))
	token := proxytest.Issuer(p.Config)(t, map[string]string{"scope": "read:load/**"})
	follower := startTail(t, dir)
	for range 100 {
		get(t, p.Server.Native+"/v1/secrets/load/X", token)
	}
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	files, err := audit.Files(filepath.Join(dir, "audit", "audit.jsonl"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files (%v), want several", len(files), err)
	}
	var want strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		want.Write(text)
	}
	follower(want.String())
}

// startTail follows the log of dir from its birth record; what it returns waits until all of this text has been printed.
func startTail(t *testing.T, dir string) func(want string) {
	t.Helper()
	var out proxytest.Buffer
	cmd := exec.Command(bin, "audit", "tail", "--dir", dir, "-n", "1000", "-f")
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	wait := func(what string, until func(string) bool) {
		t.Helper()
		for deadline := time.Now().Add(proxytest.Patience); !until(out.String()); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the follower printed %d bytes in the end, want %s", len(out.String()), what)
			}
		}
	}
	wait("the birth record", func(got string) bool { return got != "" })
	return func(want string) {
		t.Helper()
		wait(fmt.Sprintf("all %d", len(want)), func(got string) bool { return got == want })
	}
}
