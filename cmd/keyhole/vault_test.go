package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// A server is backed up while it writes, and what it acknowledged before is in the backup.
func TestBackupOfARunningServer(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	keyhole(t, 0, canary, "set", "web/production/KEPT", "--dir", dir)
	token := proxytest.Issuer(p.Config)(t, map[string]string{"scope": "write:load/** read:** list:**"})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				body := `{"value":"` + strings.Repeat("x", 20_000) + `"}`
				if code, answer := send(t, http.MethodPut, fmt.Sprintf("%s/v1/secrets/load/w%d-%d", p.Server.Native, w, i%20), token, body); code/100 != 2 {
					t.Errorf("under a backup: got %d %s", code, answer)
					return
				}
			}
		})
	}
	file := filepath.Join(t.TempDir(), "backup.db")
	for round := range 3 {
		args := []string{"vault", "backup", file, "--dir", dir, "-o", "json"}
		if round > 0 {
			_, stderr := keyhole(t, 1, "", args...)
			if !strings.Contains(stderr, "--replace") {
				t.Errorf("onto a file: got %s", stderr)
			}
			args = append(args, "--replace")
		}
		out, _ := keyhole(t, 0, "", args...)
		var r struct {
			Contents struct{ Secrets, Versions int }
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil || r.Contents.Secrets < 2 {
			t.Errorf("got %s (%v)", out, err)
		}
	}
	close(stop)
	wg.Wait()
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	if b := read(t, file); bytes.Contains(b, []byte(canary)) || bytes.Contains(b, []byte("xxxxxxxx")) {
		t.Error("a value is in the backup")
	}
	_, stderr := keyhole(t, 1, "", "vault", "restore", file, "--dir", dir)
	if !strings.Contains(stderr, "nothing was changed") {
		t.Errorf("restoring under a server: got %s", stderr)
	}
	keyhole(t, 1, "", "vault", "rekey", "--dir", dir)
	if out, _ := keyhole(t, 0, "", "audit", "grep", "--dir", dir, "--action", "vault_backup", "--effect", "allow"); strings.Count(out, "\n") != 3 {
		t.Errorf("records of backups: got %s, want 3", out)
	}
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	keyhole(t, 0, "", "delete", "web/production/KEPT", "--dir", dir)
	keyhole(t, 0, "", "vault", "restore", file, "--dir", dir)
	if got, _ := keyhole(t, 0, "", "get", "web/production/KEPT", "--dir", dir); got != canary {
		t.Errorf("after the restore: got %q", got)
	}
	keyhole(t, 0, "", "audit", "verify", "--dir", dir)
}

// The admin listener gives its copy to nobody but the holder of all scopes, and to no browser.
func TestWhoGetsABackup(t *testing.T) {
	p := dev(t, t.TempDir())
	target := p.Server.Admin + "/v1/vault/backup?upstream="
	token := func(scopes string) string { return proxytest.Issuer(p.Config)(t, map[string]string{"scope": scopes}) }
	for name, c := range map[string]struct {
		method, url, token string
		code               int
	}{
		"all scopes":      {http.MethodPost, target + "local", token("read:** list:**"), 200},
		"no token":        {http.MethodPost, target + "local", "", 401},
		"a bad token":     {http.MethodPost, target + "local", "x.y.z", 401},
		"one scope":       {http.MethodPost, target + "local", token("read:**"), 403},
		"narrower scopes": {http.MethodPost, target + "local", token("read:web/** list:**"), 403},
		"no such vault":   {http.MethodPost, target + "other", token("read:** list:**"), 404},
		"no name":         {http.MethodPost, target, token("read:** list:**"), 404},
		"a GET":           {http.MethodGet, target + "local", token("read:** list:**"), 405},
	} {
		code, body := send(t, c.method, c.url, c.token, "")
		if code != c.code || (code != 200) == (len(body) > 8000) {
			t.Errorf("%s: got %d and %d bytes, want %d", name, code, len(body), c.code)
		}
	}
	req, err := http.NewRequest(http.MethodPost, target+"local", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token("read:** list:**"))
	req.Header.Set("Origin", "http://localhost:3000")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Errorf("a browser: got %d", resp.StatusCode)
	}
}

func TestBackupWithoutAnAdminListener(t *testing.T) {
	dir := t.TempDir()
	proxytest.WriteDocument(t, dir, strings.Replace(proxytest.Document, `admin: "127.0.0.1:0"`, `admin: ""`, 1))
	p := proxytest.StartBinary(t, bin, dir, "serve", "--config", filepath.Join(dir, devdir.ConfigFile))
	file := filepath.Join(t.TempDir(), "b")
	_, stderr := keyhole(t, 1, "", "vault", "backup", file, "--config", filepath.Join(dir, devdir.ConfigFile))
	if !strings.Contains(stderr, "listen.admin") {
		t.Errorf("got %s, want what to do", stderr)
	}
	p.Stop(t)
	keyhole(t, 0, "", "vault", "backup", file, "--dir", dir)
	for _, args := range [][]string{{"backup"}, {"backup", "a", "b"}, {"restore"}, {"rekey", "a"}, {"backup", "a", "--upstream", "none"}, {"backup", ""}} {
		keyhole(t, 2, "", append([]string{"vault"}, append(args, "--dir", dir)...)...)
	}
	for _, name := range []string{filepath.Join(dir, "vault.db"), os.DevNull, "."} { // no hint leads round in a circle
		if _, stderr := keyhole(t, 1, "", "vault", "backup", name, "--replace", "--dir", dir); !strings.Contains(stderr, "another name") || strings.Contains(stderr, "--replace") {
			t.Errorf("onto %s: got %s", name, stderr)
		}
	}
}

// seen is what a step leaves behind, for a test that ends the command as soon as it sees it.
func seen(pattern string) bool {
	found, err := filepath.Glob(pattern)
	return err == nil && len(found) > 0
}

// killWhen runs a command and ends it with SIGKILL when the pattern matches a file, or lets it end.
func killWhen(t *testing.T, pattern string, args ...string) {
	t.Helper()
	cmd := exec.Command(bin, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return
		default:
		}
		if seen(pattern) {
			_ = cmd.Process.Kill()
			<-ended
			return
		}
	}
}

// Whenever a rekey or a restore is killed, the vault opens, holds what it must, and no key is gone.
func TestVaultCommandsAreKilled(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	for i := range 6 {
		keyhole(t, 0, strings.Repeat(fmt.Sprint(i), 300_000), "set", fmt.Sprintf("big/K%d", i), "--dir", dir)
	}
	keyhole(t, 0, "known", "set", "team/A", "--dir", dir)
	file := filepath.Join(t.TempDir(), "b")
	keyhole(t, 0, "", "vault", "backup", file, "--dir", dir)
	firstKey := filepath.Join(t.TempDir(), "first.key")
	replace(t, firstKey, read(t, filepath.Join(dir, "keys/master.key")))
	rekey := []string{"keys/.master.key.*.part", "keys/master.key.new", ".vault.db.copy", "keys/master.key.*.old"}
	restore := []string{".vault.db.copy", "vault.db.*.old", "vault.db.*.old"}
	for round := range 30 {
		pattern := rekey[rand.IntN(len(rekey))]
		for _, name := range []string{"keys/master.key.*.old", "vault.db.*.old"} { // so that the next ones are seen
			if found, _ := filepath.Glob(filepath.Join(dir, name)); !seen(filepath.Join(dir, "keys/master.key.new")) {
				for _, f := range found {
					if err := os.Remove(f); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		args := []string{"vault", "rekey", "--dir", dir}
		if round%2 == 1 && !seen(filepath.Join(dir, "keys/master.key.new")) {
			pattern = restore[rand.IntN(len(restore))]
			args = []string{"vault", "restore", file, "--key", firstKey, "--dir", dir}
		}
		before := read(t, filepath.Join(dir, "keys/master.key"))
		killWhen(t, filepath.Join(dir, pattern), args...)
		if got, _ := keyhole(t, 0, "", "get", "team/A", "--dir", dir); got != "known" {
			t.Fatalf("round %d, %v killed at %s: got %q", round, args[1], pattern, got)
		}
		if got, _ := keyhole(t, 0, "", "get", "big/K5", "--dir", dir); len(got) != 300_000 {
			t.Fatalf("round %d, %v killed at %s: got %d bytes", round, args[1], pattern, len(got))
		}
		there := false
		found, _ := filepath.Glob(filepath.Join(dir, "keys/master.key*"))
		for _, f := range found {
			there = there || bytes.Equal(read(t, f), before)
		}
		if !there {
			t.Fatalf("round %d, %v killed at %s: a key is gone", round, args[1], pattern)
		}
	}
	keyhole(t, 0, "", "vault", "rekey", "--dir", dir)
	keyhole(t, 0, "", "vault", "rekey", "--dir", dir) // the first may only have finished another
	if seen(filepath.Join(dir, "keys/master.key.new")) || seen(filepath.Join(dir, ".vault.db.copy")) {
		t.Error("something is left")
	}
	if got, _ := keyhole(t, 0, "", "get", "team/A", "--dir", dir); got != "known" {
		t.Errorf("at the end: got %q", got)
	}
	keyhole(t, 0, "", "audit", "verify", "--dir", dir)
	keyhole(t, 0, "", "doctor", "--dir", dir)
}

// What goes wrong with a vault is said as it is: there is no upstream, and nothing else that went wrong because of it.
func TestVaultFailuresAreSaidPlainly(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	limited := exec.Command("sh", "-c", `ulimit -f 12; exec "$0" "$@"`, bin, "vault", "rekey", "--dir", dir) // as a full disk, beyond 6 or 12 KiB
	rekeyed, err := limited.CombinedOutput()
	if err == nil {
		t.Fatal("the vault was rekeyed without room for its copy")
	}
	file := filepath.Join(t.TempDir(), "b")
	keyhole(t, 0, "", "vault", "backup", file, "--dir", dir)
	if err := os.Truncate(file, 5000); err != nil {
		t.Fatal(err)
	}
	_, restored := keyhole(t, 1, "", "vault", "restore", file, "--dir", dir)
	for want, got := range map[string]string{"too large": string(rekeyed), "damaged": restored} {
		if !strings.Contains(got, want) || strings.Contains(got, "upstream") || strings.Contains(got, "already closed") {
			t.Errorf("got %s, want %q and nothing else", got, want)
		}
	}
}
