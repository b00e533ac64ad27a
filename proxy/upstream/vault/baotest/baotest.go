// Package baotest runs a real OpenBao for tests: the binary that KEYHOLE_BAO names, which "make test-integration" builds.
package baotest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/porttest"
)

// Env names the variable with the path of the binary.
const Env = "KEYHOLE_BAO"

// patience is how long a server, and each of its answers, is waited for.
const patience = 2 * time.Minute

// Server is an OpenBao in development mode, in memory, on a loopback port of its own.
type Server struct {
	URL   string
	Token string         // of its root
	Roots *x509.CertPool // the authority of its certificate, where it serves TLS

	client *http.Client
	log    string
	exited <-chan struct{} // closed at its end
	mounts atomic.Int64
}

// Start runs a server until t ends. Without the binary t is skipped.
func Start(t testing.TB) *Server {
	t.Helper()
	return start(t, false)
}

// StartTLS is Start for a server that serves TLS.
func StartTLS(t testing.TB) *Server {
	t.Helper()
	return start(t, true)
}

func start(t testing.TB, secure bool) *Server {
	t.Helper()
	binary := os.Getenv(Env)
	if binary == "" {
		t.Skipf("%s is not set: run make test-integration", Env)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	s := &Server{Token: "root", client: &http.Client{Timeout: patience, Transport: transport}}
	address := "127.0.0.1:" + porttest.ReserveTwo(t) // the development mode takes the one after it as well
	s.URL = "http://" + address
	dir := t.TempDir()
	args := []string{"server", "-dev", "-dev-no-store-token", "-dev-root-token-id=" + s.Token, "-dev-listen-address=" + address}
	if secure {
		s.URL = "https://" + address
		s.Roots = x509.NewCertPool()
		transport.TLSClientConfig = &tls.Config{RootCAs: s.Roots}
		args = append(args, "-dev-tls", "-dev-tls-cert-dir="+dir)
	}
	log, err := os.Create(filepath.Join(dir, "bao.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.log = log.Name()
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	s.exited = exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
		_ = log.Close()
	})
	if secure {
		s.trust(t, filepath.Join(dir, "vault-ca.pem"))
	}
	s.await(t)
	return s
}

// until polls until ready is true. It gives up when the server has ended, or after a long time.
func (s *Server) until(t testing.TB, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ready() {
			return
		}
		select {
		case <-s.exited:
			end = time.Time{}
		default:
		}
	}
	text, _ := os.ReadFile(s.log)
	t.Fatalf("OpenBao does not come up:\n%s", text)
}

// trust waits for the certificate of the server's authority, which it writes.
func (s *Server) trust(t testing.TB, file string) {
	t.Helper()
	s.until(t, func() bool {
		text, err := os.ReadFile(file)
		return err == nil && s.Roots.AppendCertsFromPEM(text)
	})
}

// As returns the same server, with requests by the owner of this token.
func (s *Server) As(token string) *Server {
	return &Server{URL: s.URL, Token: token, Roots: s.Roots, client: s.client, log: s.log, exited: s.exited}
}

// await waits until the server answers that it is active.
func (s *Server) await(t testing.TB) {
	t.Helper()
	s.until(t, func() bool {
		resp, err := s.client.Get(s.URL + "/v1/sys/health")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// Do makes a request as root and returns status and answer. body is marshalled; nil sends none.
func (s *Server) Do(t testing.TB, method, path string, body any) (int, map[string]any) {
	t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, s.URL+"/v1/"+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", s.Token)
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return resp.StatusCode, answer
}

// Must is Do for what has to succeed. It returns the data of the answer.
func (s *Server) Must(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	status, answer := s.Do(t, method, path, body)
	if status >= 300 {
		t.Fatalf("%s %s: %d %v", method, path, status, answer["errors"])
	}
	data, _ := answer["data"].(map[string]any)
	return data
}

// Mount mounts a new key/value engine and returns its path.
func (s *Server) Mount(t testing.TB, version int) string {
	t.Helper()
	mount := fmt.Sprintf("kv%d", s.mounts.Add(1))
	s.Must(t, "POST", "sys/mounts/"+mount, map[string]any{"type": "kv", "options": map[string]string{"version": fmt.Sprint(version)}})
	s.until(t, func() bool { // a new engine of version 2 prepares itself for a moment
		status, _ := s.Do(t, "GET", mount+"/data/none", nil)
		return status == http.StatusNotFound
	})
	return mount
}

// Policy writes a policy: rules are paths and their capabilities with spaces between.
func (s *Server) Policy(t testing.TB, name string, rules map[string]string) {
	t.Helper()
	var text strings.Builder
	for path, capabilities := range rules {
		fmt.Fprintf(&text, "path %q { capabilities = [\"%s\"] }\n", path, strings.ReplaceAll(capabilities, " ", `", "`))
	}
	s.Must(t, "POST", "sys/policies/acl/"+name, map[string]any{"policy": text.String()})
}

// AppRole makes a role with these policies and returns what logs in as it. settings are more of the role's parameters.
func (s *Server) AppRole(t testing.TB, policies string, settings map[string]any) (roleID, secretID string) {
	t.Helper()
	if status, _ := s.Do(t, "GET", "sys/auth/approle", nil); status != http.StatusOK {
		s.Must(t, "POST", "sys/auth/approle", map[string]any{"type": "approle"})
	}
	role := fmt.Sprintf("role%d", s.mounts.Add(1))
	body := map[string]any{"token_policies": policies}
	for k, v := range settings {
		body[k] = v
	}
	s.Must(t, "POST", "auth/approle/role/"+role, body)
	roleID, _ = s.Must(t, "GET", "auth/approle/role/"+role+"/role-id", nil)["role_id"].(string)
	secretID, _ = s.Must(t, "POST", "auth/approle/role/"+role+"/secret-id", nil)["secret_id"].(string)
	return roleID, secretID
}

// Seal shuts the server: it answers 503 until Unseal.
func (s *Server) Seal(t testing.TB) {
	t.Helper()
	s.Must(t, "PUT", "sys/seal", nil)
}

// Unseal opens it again, with the key that the development mode prints.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "Unseal Key: ")
	key, _, _ := strings.Cut(rest, "\n")
	s.Must(t, "PUT", "sys/unseal", map[string]string{"key": strings.TrimSpace(key)})
	s.await(t)
}
