package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
)

const (
	benchPath  = "web/production/STRIPE_KEY"
	benchScope = "read:web/production/** list:web/production/**"
	valueBytes = 100
)

// server is a built "keyhole serve" with the configuration that "keyhole dev" makes: embedded vault, builtin:scope,
// state file, audit log in a file with the durability process.
type server struct {
	*child
	bin, dir string
	env      []string // beside that of the harness
	config   *config.Config
	url      string
}

// buildServer builds the binary that is released: the same command and flags as "make build". Who has it removes it.
func buildServer(ctx context.Context) (_ *server, err error) {
	dir, err := os.MkdirTemp("", "keyhole-bench-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "keyhole")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "./cmd/keyhole")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building cmd/keyhole: %w: %s", err, out)
	}
	return newServer(bin, filepath.Join(dir, "server"))
}

// newServer makes the folder of a server.
func newServer(bin, dir string) (*server, error) {
	s := &server{bin: bin, dir: dir}
	if err := devdir.Create(s.dir, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	return s, s.oneLog()
}

// sibling is another server of the same binary, in a folder beside.
func (s *server) sibling(name string) (*server, error) {
	return newServer(s.bin, filepath.Join(filepath.Dir(s.dir), name))
}

// remove leaves nothing of a server that has ended, nor of its siblings.
func (s *server) remove() { _ = os.RemoveAll(filepath.Dir(s.dir)) }

// oneLog keeps the audit log in one file, where its records are counted.
func (s *server) oneLog() error {
	const sink = "{type: file, path: audit/audit.jsonl, required: true"
	return s.edit(map[string]string{sink: sink + ", rotate: 1TiB"}, "")
}

// configure adds to the configuration.
func (s *server) configure(text string) error { return s.edit(nil, text) }

// edit replaces the first of each of these texts in the configuration, and adds to its end.
func (s *server) edit(replace map[string]string, add string) error {
	b, err := os.ReadFile(s.configFile())
	if err != nil {
		return err
	}
	text := string(b)
	for old, changed := range replace {
		if !strings.Contains(text, old) {
			return fmt.Errorf("the configuration has no %q", old)
		}
		text = strings.Replace(text, old, changed, 1)
	}
	if err := os.WriteFile(s.configFile(), []byte(text+add), 0o600); err != nil {
		return err
	}
	return s.load()
}

// load reads the configuration as the server does; the harness needs it to sign tokens.
func (s *server) load() (err error) {
	s.config, err = full.Drivers().Load(s.configFile(), nil)
	return err
}

func (s *server) configFile() string { return filepath.Join(s.dir, devdir.ConfigFile) }
func (s *server) auditFile() string  { return filepath.Join(s.dir, "audit", "audit.jsonl") }

func (s *server) start(ctx context.Context) (err error) {
	s.child, err = startChild(ctx, s.env, io.Discard, s.bin, "serve", "--config", s.configFile(), "--log-level", "warn")
	if err != nil {
		return err
	}
	err = s.await(func() bool {
		where, ok, err := devdir.Find(s.dir)
		s.url = where.Native
		return err == nil && ok && where.PID == s.cmd.Process.Pid
	})
	if err != nil {
		s.kill()
	}
	return err
}

// token signs a token for the scope, for as long as the configuration allows.
func (s *server) token(scope string) (string, error) {
	return app.Issue(s.config, os.Getenv, app.TokenRequest{Scope: scope, Subject: "bench", TTL: s.config.Identity.MaxTTL})
}

// seed writes the secret that is read.
func (s *server) seed(ctx context.Context) error {
	token, err := s.token("write:" + benchPath)
	if err != nil {
		return err
	}
	body := `{"value":"` + strings.Repeat("s", valueBytes) + `","if_version":"0"}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.url+"/v1/secrets/"+benchPath, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("writing the secret: %s: %s", resp.Status, answer)
	}
	return nil
}

var errNoProc = errors.New("this system has no /proc to read memory from")

// rss is the resident memory of a server that has answered nothing for the time idle, in MB of 10^6 bytes.
func (s *server) rss(idle time.Duration) (float64, error) {
	time.Sleep(idle)
	return s.memory("VmRSS")
}

// memory is a line of /proc/PID/status that counts memory, in MB of 10^6 bytes: VmRSS is what is resident, VmHWM the most
// that ever was.
func (s *server) memory(line string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, errNoProc
	}
	for l := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(l, line+":"); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 64)
			return n * 1024 / 1e6, err
		}
	}
	return 0, errNoProc
}
