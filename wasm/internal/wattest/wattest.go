// Package wattest serves tests with WebAssembly modules that are written as text. Each NAME.wat in a directory has its
// binary NAME.wasm beside it; a first line ";; flags: …" names what wat2wasm (Debian's wabt 1.0.32) needs.
package wattest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Load returns the binaries of a directory by name.
func Load(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.wasm"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no modules in %s (%v)", dir, err)
	}
	out := make(map[string][]byte)
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(p), ".wasm")] = data
	}
	return out
}

// Check compiles every text of a directory and compares the result with the binary beside it. With WATTEST_WRITE=1 in
// the environment it writes the binaries instead. It is skipped where wat2wasm is missing or of another version.
func Check(t *testing.T, dir string) {
	t.Helper()
	if v, err := exec.Command("wat2wasm", "--version").Output(); err != nil || strings.TrimSpace(string(v)) != "1.0.32" {
		t.Skipf("wat2wasm 1.0.32 is not here (%q, %v): binaries not compared with their sources", v, err)
	}
	texts, err := filepath.Glob(filepath.Join(dir, "*.wat"))
	if err != nil || len(texts) == 0 {
		t.Fatalf("no sources in %s (%v)", dir, err)
	}
	for _, text := range texts {
		src, err := os.ReadFile(text)
		if err != nil {
			t.Fatal(err)
		}
		tmp := filepath.Join(t.TempDir(), "out.wasm")
		args := []string{"--no-check", text, "-o", tmp}
		if first, _, _ := strings.Cut(string(src), "\n"); strings.HasPrefix(first, ";; flags: ") {
			args = append(strings.Fields(strings.TrimPrefix(first, ";; flags: ")), args...)
		}
		if out, err := exec.Command("wat2wasm", args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", text, err, out)
			continue
		}
		got, err := os.ReadFile(tmp)
		if err != nil {
			t.Fatal(err)
		}
		binary := strings.TrimSuffix(text, ".wat") + ".wasm"
		if os.Getenv("WATTEST_WRITE") != "" {
			if err := os.WriteFile(binary, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what wat2wasm makes of %s", binary, text)
		}
	}
}
