package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// bin is the command as its users have it.
var bin string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "keyhole-cli-")
	if err == nil {
		bin, err = proxytest.BuildBinary(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// dev starts "keyhole dev" in dir on any free port.
func dev(t *testing.T, dir string) *proxytest.Process {
	t.Helper()
	return proxytest.StartBinary(t, bin, dir, "dev", "--dir", dir, "--listen", "127.0.0.1:0", "--log-level", "debug")
}

// serve makes a directory with the document of the scripts and serves it.
func serve(t *testing.T) *proxytest.Process {
	t.Helper()
	return serveDocument(t, t.TempDir(), "")
}

func serveDocument(t *testing.T, dir, document string) *proxytest.Process {
	t.Helper()
	proxytest.WriteDocument(t, dir, document)
	return proxytest.StartBinary(t, bin, dir, "serve", "--config", filepath.Join(dir, devdir.ConfigFile))
}

// keyhole runs a command that must exit with this code.
func keyhole(t *testing.T, code int, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, got := proxytest.Run(t, bin, stdin, nil, args...)
	if got != code {
		t.Fatalf("keyhole %s: got exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	return stdout, stderr
}

func TestScriptsAgainstTheBinary(t *testing.T) {
	proxytest.RunScripts(t, "../../proxy/httpapi/testdata/*.txt", func(t *testing.T) proxytest.Target {
		return serve(t).Target()
	})
}

func TestAWSScriptsAgainstTheBinary(t *testing.T) {
	proxytest.RunScripts(t, "../../proxy/httpapi/testdata/aws/*.txt", func(t *testing.T) proxytest.Target {
		document := strings.Replace(proxytest.Document, "listen: {", `listen: {aws: "127.0.0.1:0", `, 1)
		return serveDocument(t, t.TempDir(), document).AWSTarget()
	})
}
