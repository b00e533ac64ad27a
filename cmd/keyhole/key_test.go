package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// Rotations under load refuse nobody: not the tokens from before, not those of the moment after.
func TestKeyRotateUnderLoad(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	old := proxytest.Issuer(p.Config)(t, map[string]string{"scope": "read:web/production/*"})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var answers atomic.Int64
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code, body := send(t, http.MethodGet, p.Server.Native+"/v1/secrets/"+seeded, old, ""); code != 200 {
					t.Errorf("a token from before: got %d %s", code, body)
					return
				}
				answers.Add(1)
			}
		})
	}
	ids := map[string]bool{}
	for range 2 {
		out, _ := keyhole(t, 0, "", "key", "rotate", "--dir", dir, "-o", "json")
		var r struct {
			KeyID   string `json:"key_id"`
			Retired string `json:"retired_key_id"`
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil || r.KeyID == r.Retired {
			t.Fatalf("got %s (%v)", out, err)
		}
		ids[r.KeyID], ids[r.Retired] = true, true
		keyhole(t, 0, "", "get", seeded, "--dir", dir) // signs with the new key, at once
	}
	close(stop)
	wg.Wait()
	if len(ids) != 3 || answers.Load() == 0 {
		t.Errorf("%d keys, %d answers: too little to tell", len(ids), answers.Load())
	}
	if _, err := os.Stat(filepath.Join(dir, "keys/signing.pem.old")); !os.IsNotExist(err) {
		t.Errorf("an old private key stays: %v", err)
	}
	if out, _ := keyhole(t, 0, "", "audit", "grep", "--dir", dir, "--action", "key_rotate"); strings.Count(out, "\n") != 4 {
		t.Errorf("got %s, want two pairs of records", out)
	}
	keyhole(t, 0, "", "audit", "verify", "--dir", dir)
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	keyhole(t, 0, "", "key", "rotate", "--dir", dir) // without a server
	p = dev(t, dir)
	if code, body := send(t, http.MethodGet, p.Server.Native+"/v1/secrets/"+seeded, old, ""); code != 200 {
		t.Errorf("a token of three keys before: got %d %s", code, body)
	}
}

// Without its records nothing is rotated.
func TestKeyRotateNeedsItsRecords(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	before := keys(t, dir)
	if err := os.Remove(filepath.Join(dir, devdir.CLIAudit)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, devdir.CLIAudit), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"key", "rotate"}, {"vault", "rekey"}, {"vault", "restore", "x"}} {
		_, stderr := keyhole(t, 1, "", append(args, "--dir", dir)...)
		if !strings.Contains(stderr, "nothing is done without a record") {
			t.Errorf("%v: got %s", args, stderr)
		}
	}
	if keys(t, dir) != before {
		t.Error("a key changed")
	}
}

// The doctor knows the server of the directory from whoever else has its port, and says so in both forms.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	p := serveDocument(t, dir, "")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	out, _ := keyhole(t, 0, "", "doctor", "--config", filepath.Join(dir, devdir.ConfigFile), "-o", "json")
	var found []struct{ Check, Status, What string }
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) < 7 {
		t.Fatalf("got %s (%v)", out, err)
	}
	for _, f := range found {
		if f.Status == "fail" || f.Check == "port" && !strings.Contains(f.What, "serves it") {
			t.Errorf("beside the server: got %+v", f)
		}
	}
	address := strings.TrimPrefix(p.Server.Native, "http://")
	t.Setenv("KEYHOLE__LISTEN__NATIVE", address)
	other := t.TempDir()
	proxytest.WriteDocument(t, other, "")
	out, _ = keyhole(t, 1, "", "doctor", "--dir", other)
	if !strings.Contains(out, "fail  port") || !strings.Contains(out, address) {
		t.Errorf("the port of another server: got %s", out)
	}
	if code := p.Stop(t); code != 0 {
		t.Fatalf("got exit code %d", code)
	}
	out, _ = keyhole(t, 0, "", "doctor", "--dir", dir)
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if status, _, _ := strings.Cut(line, " "); status != "ok" && status != "warn" {
			t.Errorf("got %q", line)
		}
	}
	out, _ = keyhole(t, 1, "", "doctor", "--dir", filepath.Join(dir, "none"))
	if !strings.HasPrefix(out, "fail  configuration") {
		t.Errorf("no set-up: got %s", out)
	}
	keyhole(t, 2, "", "doctor", "--dir", dir, "--config", "x")
	keyhole(t, 2, "", "doctor", "x")
}
