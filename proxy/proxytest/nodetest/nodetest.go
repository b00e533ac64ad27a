// Package nodetest runs servers for tests that npm has: programs for Node.js over what "make test-integration" installs.
package nodetest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Start runs a program (an ES module) until t ends and returns the URL that it prints behind "serving ". It ends with its
// standard input, should this process be killed. env names the variable with the folder in which npm has installed what
// the program imports: where that is not set, or there is no Node.js, t is skipped.
func Start(t testing.TB, env, program string, args ...string) string {
	t.Helper()
	folder := os.Getenv(env)
	if folder == "" {
		t.Skipf("%s is not set: run make test-integration", env)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node")
	}
	dir := t.TempDir()
	cmd := exec.Command(node, append([]string{"--input-type=module", "--eval", program}, args...)...)
	cmd.Dir = folder
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	said, err := os.Create(filepath.Join(dir, "said.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = said.Close()
	})
	silent := time.AfterFunc(5*time.Minute, func() { _ = cmd.Process.Kill() })
	defer silent.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
			return url
		}
	}
	text, _ := os.ReadFile(said.Name())
	t.Fatalf("the server does not start:\n%s", text)
	return ""
}
