//go:build linux && (amd64 || arm64)

package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// Machine code that was made before the build is what the built server runs, and without it the policies are compiled.
// Only a built program shows that: the version of the engine, which the code begins with, is another one in tests.
func TestServerLoadsPrecompiledPolicies(t *testing.T) {
	const native = "policies/native"
	made := t.TempDir()
	cmd := exec.Command("../../"+native+".sh", runtime.GOARCH)
	cmd.Env = append(os.Environ(), "NATIVE_OUT="+made)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	arch := "linux-" + runtime.GOARCH
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	list := func(dir string, visit func(name string)) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				visit(e.Name())
			}
		}
	}
	build := func() string {
		dir := t.TempDir()
		text, err := json.Marshal(overlay)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "overlay.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		bin, err := proxytest.BuildBinary(dir, "-overlay", file)
		if err != nil {
			t.Fatal(err)
		}
		return bin
	}
	t.Setenv("KEYHOLE__LOG__LEVEL", "debug") // a start without anything to compile has nothing to tell
	want := func(bin, line string) {
		t.Helper()
		dir := t.TempDir()
		p := proxytest.StartBinary(t, bin, dir, "dev", "--dir", dir, "--listen", "127.0.0.1:0")
		p.Stop(t)
		if log := p.Stderr.String(); strings.Count(log, line) != 1 {
			t.Errorf("the log does not say %s once:\n%s", line, log)
		}
	}

	// What an earlier build left in the tree is taken out first.
	list(filepath.Join(root, native, arch), func(name string) { overlay.Replace[filepath.Join(root, native, arch, name)] = "" })
	want(build(), `"engine":"compiler","precompiled":0,"compiled":1`)

	list(filepath.Join(made, arch), func(name string) {
		overlay.Replace[filepath.Join(root, native, arch, name)] = filepath.Join(made, arch, name)
	})
	want(build(), `"engine":"compiler","precompiled":1,"compiled":0`)
}
