package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

func copyAll(w io.Writer, r io.Reader) (int64, error) { return io.Copy(w, r) }

func TestASecondServerIsRefused(t *testing.T) {
	dir := t.TempDir()
	p := dev(t, dir)
	pid := strconv.Itoa(p.Cmd.Process.Pid)
	for _, args := range [][]string{
		{"dev", "--dir", dir, "--listen", "127.0.0.1:0"},
		{"serve", "--config", filepath.Join(dir, devdir.ConfigFile), "--listen", "127.0.0.1:0"},
	} {
		_, stderr := keyhole(t, 1, "", args...)
		if !strings.Contains(stderr, "process "+pid) || !strings.Contains(stderr, p.Server.Native) {
			t.Errorf("%s: got %q, want the pid %s", args[0], stderr, pid)
		}
	}
	// The vault has a lock of its own, for a server that is configured elsewhere.
	other := t.TempDir()
	text, err := os.ReadFile(filepath.Join(dir, devdir.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.NewReplacer("vault.db", filepath.Join(dir, "vault.db"), "file:keys", "file:"+filepath.Join(dir, "keys")).Replace(string(text))
	if err := os.WriteFile(filepath.Join(other, devdir.ConfigFile), []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(other, "audit"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, stderr := keyhole(t, 1, "", "serve", "--config", filepath.Join(other, devdir.ConfigFile))
	if !strings.Contains(stderr, "process "+pid+" holds") {
		t.Errorf("the vault's lock: got %q, want the pid %s", stderr, pid)
	}
}

func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	_, stderr := keyhole(t, 1, "", "dev", "--dir", t.TempDir(), "--listen", ln.Addr().String())
	if !strings.Contains(stderr, ln.Addr().String()) || !strings.Contains(stderr, "in use") {
		t.Errorf("got %q", stderr)
	}
}

func TestDamagedAndForeignFiles(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		want   string
	}{
		"wrong master key": {func(t *testing.T, dir string) {
			other := t.TempDir()
			dev(t, other).Stop(t)
			replace(t, filepath.Join(dir, "keys/master.key"), read(t, filepath.Join(other, "keys/master.key")))
		}, "master key"},
		"truncated vault": {func(t *testing.T, dir string) {
			b := read(t, filepath.Join(dir, "vault.db"))
			replace(t, filepath.Join(dir, "vault.db"), b[:len(b)/2])
		}, "vault"},
		"foreign vault": {func(t *testing.T, dir string) {
			replace(t, filepath.Join(dir, "vault.db"), []byte(strings.Repeat("not a vault ", 4096)))
		}, "vault"},
		"state in place of the vault": {func(t *testing.T, dir string) {
			replace(t, filepath.Join(dir, "vault.db"), read(t, filepath.Join(dir, "state.db")))
		}, "not a vault"},
		"vault in place of the state": {func(t *testing.T, dir string) {
			replace(t, filepath.Join(dir, "state.db"), read(t, filepath.Join(dir, "vault.db")))
		}, "state"},
		"foreign audit log": {func(t *testing.T, dir string) {
			replace(t, filepath.Join(dir, "audit/audit.jsonl"), []byte("hello\n"))
		}, "audit log"},
		"missing master key": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "keys/master.key")); err != nil {
				t.Fatal(err)
			}
		}, "master.key"},
		"readable key": {func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, "keys/master.key"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "chmod 600"},
		"unknown key in the configuration": {func(t *testing.T, dir string) {
			file := filepath.Join(dir, devdir.ConfigFile)
			replace(t, file, append(read(t, file), "chache: {}\n"...))
		}, `did you mean "cache"?`},
		"a setting that is not supported": {func(t *testing.T, dir string) {
			file := filepath.Join(dir, devdir.ConfigFile)
			replace(t, file, append(read(t, file), "telemetry: {otlp: \"http://127.0.0.1:4318\"}\n"...))
		}, "telemetry.otlp"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			dev(t, dir).Stop(t)
			c.damage(t, dir)
			before := read(t, filepath.Join(dir, "vault.db"))
			_, stderr := keyhole(t, 1, "", "dev", "--dir", dir, "--listen", "127.0.0.1:0")
			if !strings.Contains(stderr, c.want) || strings.Contains(stderr, "goroutine") {
				t.Errorf("got %q, want it to say %q", stderr, c.want)
			}
			if got := read(t, filepath.Join(dir, "vault.db")); string(got) != string(before) {
				t.Error("the vault's file was changed")
			}
		})
	}
}

func TestTamperingIsFound(t *testing.T) {
	dir := t.TempDir()
	dev(t, dir).Stop(t)
	file := filepath.Join(dir, "audit/audit.jsonl")
	replace(t, file, []byte(strings.Replace(string(read(t, file)), `"effect":"allow"`, `"effect":"Allow"`, 1)))
	_, stderr := keyhole(t, 1, "", "audit", "verify", "--dir", dir)
	if !strings.Contains(stderr, "audit.jsonl, line ") {
		t.Errorf("got %q, want the line", stderr)
	}
}

func TestOversizedAndSlowRequests(t *testing.T) {
	p := dev(t, t.TempDir())
	addr := strings.TrimPrefix(p.Server.Native, "http://")
	for name, c := range map[string]struct {
		send string
		want string // of the status line; "" where the connection is just closed
	}{
		"a header block over 16 KiB": {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 17<<10) + "\r\n\r\n", "431"},
		"a header that never ends":   {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", ""},
		"a body that never ends":     {"PUT /v1/secrets/a/B HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", "400"},
		"a body over the limit":      {"PUT /v1/secrets/a/B HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000000\r\n\r\n", "413"},
		"two lengths":                {"PUT /v1/secrets/a/B HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "400"},
		"a malformed escape":         {"GET /v1/secrets/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(proxytest.Patience))
			if _, err := io.WriteString(conn, c.send); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if c.want == "" {
				if line != "" || !errors.Is(err, io.EOF) && !strings.Contains(fmt.Sprint(err), "reset") {
					t.Errorf("got %q (%v), want the connection closed", line, err)
				}
				return
			}
			if !strings.Contains(line, " "+c.want+" ") {
				t.Errorf("got %q (%v), want %s", line, err, c.want)
			}
		})
	}
	t.Run("and it goes on serving", func(t *testing.T) {
		resp, err := http.Get(p.Server.Native + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
		if resp.StatusCode != 200 {
			t.Errorf("got %d", resp.StatusCode)
		}
	})
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func replace(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
