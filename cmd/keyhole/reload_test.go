package main_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// await waits until the log of the server holds text n times.
func await(t *testing.T, p *proxytest.Process, text string, n int) {
	t.Helper()
	awaitText(t, p.Stderr, text, n)
}

func awaitText(t *testing.T, b *proxytest.Buffer, text string, n int) {
	t.Helper()
	for deadline := time.Now().Add(proxytest.Patience); strings.Count(b.String(), text) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the server does not say %q %d times:\n%s", text, n, b.String())
		}
	}
}

func document(t *testing.T, p *proxytest.Process, old, text string) {
	t.Helper()
	file := filepath.Join(p.Dir, devdir.ConfigFile)
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(doc), old, text, 1)
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	taken   = `"msg":"configuration reloaded"`
	refused = `"msg":"the configuration is refused; the one before it stays in force"`
)

// The server takes a new document when it changes and when it is told to, refuses a bad one and one that needs a restart,
// and answers every request meanwhile.
func TestReloadOfAServer(t *testing.T) {
	p := serve(t)
	token := proxytest.Issuer(p.Config)(t, map[string]string{"scope": "read:** write:**"})
	url := p.Server.Native + "/v1/secrets/web/production/KEY"
	if code, body := send(t, http.MethodPut, url, token, `{"value":"v"}`); code != 201 {
		t.Fatalf("got %d %s", code, body)
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				if code, body := send(t, http.MethodGet, url, token, ""); code != 200 {
					t.Errorf("during the reloads: got %d %s", code, body)
					return
				}
			}
		})
	}
	hangup := func() {
		if err := p.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	document(t, p, "name: no-restricted", "name: none-restricted")
	await(t, p, taken, 1)
	hangup()
	await(t, p, taken, 2)
	document(t, p, "region: test-1", "region: test-2")
	hangup()
	await(t, p, refused, 1)
	await(t, p, "restart needed: a running server cannot change region", 1)
	document(t, p, "region: test-2", "regoin: test-1")
	hangup()
	await(t, p, refused, 2)
	document(t, p, "regoin: test-1", "region: test-1")
	hangup()
	await(t, p, taken, 3)
	stop.Store(true)
	wg.Wait()
	if code := p.Stop(t); code != 0 {
		t.Errorf("got exit code %d", code)
	}
	keyhole(t, 0, "", "audit", "verify", "--config", filepath.Join(p.Dir, devdir.ConfigFile), "--require-seal")
}
