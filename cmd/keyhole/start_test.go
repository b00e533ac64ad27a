package main_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// A flag wins over the variable of the same setting.
func TestFlagsWinOverVariables(t *testing.T) {
	t.Setenv("KEYHOLE__LISTEN__NATIVE", "192.0.2.1:1")
	t.Setenv("KEYHOLE__LOG__LEVEL", "error")
	p := dev(t, t.TempDir())
	if !strings.HasPrefix(p.Server.Native, "http://127.0.0.1:") {
		t.Errorf("serving on %s, want where --listen says", p.Server.Native)
	}
	for deadline := time.Now().Add(proxytest.Patience); !strings.Contains(p.Stderr.String(), "serving"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %q, want what --log-level debug shows", p.Stderr.String())
		}
	}
}

// A first start that fails leaves nothing that the next one stumbles over, and the next one does all that was left.
func TestAFirstStartThatFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for name, c := range map[string]struct {
		listen string
		code   int
		kept   bool // the configuration
	}{
		"a port in use": {taken.Addr().String(), 1, true},
		"no address":    {"nonsense", 1, false},
		"no loopback":   {"192.0.2.1:8640", 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			keyhole(t, c.code, "", "dev", "--dir", dir, "--listen", c.listen)
			if _, err := os.Stat(filepath.Join(dir, devdir.ConfigFile)); errors.Is(err, fs.ErrNotExist) == c.kept {
				t.Errorf("the configuration: got %v, want it kept: %t", err, c.kept)
			}
			dev(t, dir)
			if got, _ := keyhole(t, 0, "", "get", seeded, "--dir", dir); got == "" {
				t.Error("the second start left the directory without its example")
			}
			if _, err := os.Stat(filepath.Join(dir, "seed.pending")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the note that the example is missing: %v, want none", err)
			}
			keyhole(t, 0, "", "config", "validate", "--config", filepath.Join(dir, devdir.ConfigFile))
		})
	}
}

// A start waits for a command that works in the directory for a moment.
func TestAStartWaitsForACommand(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	lock, err := devdir.TakeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	note := filepath.Join(dir, "server.json")
	released := make(chan error, 1)
	go func() {
		// A start that does not wait ends while the lock is held, on any machine but a very slow one, where this passes.
		served := false
		for began := time.Now(); time.Since(began) < time.Second/2; { // a tenth of how long a start waits
			_, err := os.Stat(note)
			served = served || err == nil
			time.Sleep(10 * time.Millisecond)
		}
		err := lock.Release()
		if served {
			err = errors.New("a server serves while a command works in the directory")
		}
		released <- err
	}()
	p := dev(t, dir)
	if err := <-released; err != nil {
		t.Error(err)
	}
	if code := p.Stop(t); code != 0 {
		t.Errorf("got exit code %d", code)
	}
}

// Where others may write, or what signs is not what verifies, nothing starts.
func TestStartsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		want   string
	}{
		"others may write": {func(t *testing.T, dir string) {
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		}, "chmod 700"},
		"the group may write": {func(t *testing.T, dir string) {
			if err := os.Chmod(dir, 0o720); err != nil {
				t.Fatal(err)
			}
		}, "chmod 700"},
		"another signing key": {func(t *testing.T, dir string) {
			other := t.TempDir()
			if err := devdir.Create(other, ""); err != nil {
				t.Fatal(err)
			}
			replace(t, filepath.Join(dir, "keys/signing.pem"), read(t, filepath.Join(other, "keys/signing.pem")))
		}, "signing_key"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := devdir.Create(dir, ""); err != nil {
				t.Fatal(err)
			}
			c.damage(t, dir)
			_, stderr := keyhole(t, 1, "", "dev", "--dir", dir, "--listen", "127.0.0.1:0")
			if !strings.Contains(stderr, c.want) {
				t.Errorf("got %q, want it to say %q", stderr, c.want)
			}
		})
	}
}

// What KEYHOLE_PREFETCH names is cached when the server says where it is; commands do not look at it.
func TestPrefetch(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	t.Setenv("KEYHOLE_PREFETCH", "web/production/NONE,"+seeded)
	p := dev(t, dir)
	p.Stop(t) // and with it the end of what it says
	if log := p.Stderr.String(); !strings.Contains(log, "secrets were read ahead") || !strings.Contains(log, "cached=1") && !strings.Contains(log, `"cached":1`) {
		t.Errorf("got %s", log)
	}
	t.Setenv("KEYHOLE_PREFETCH", seeded+",web//DB")
	p = dev(t, dir)
	p.Stop(t)
	if log := p.Stderr.String(); !strings.Contains(log, "KEYHOLE_PREFETCH: name 2") || !strings.Contains(log, "web//DB") {
		t.Errorf("got %s", log)
	}
	keyhole(t, 0, "", "get", seeded, "--dir", dir)
}
