package main_test

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestPack(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "pack")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", tool, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pack := func(budget, folder string, mode os.FileMode, age time.Duration) ([]byte, error) {
		t.Helper()
		in := filepath.Join(dir, folder, "bootstrap")
		if err := os.MkdirAll(filepath.Dir(in), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in, []byte("program"), mode); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(in, then, then); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, folder, "out.zip")
		if err := exec.CommandContext(t.Context(), tool, budget, out, in, "extensions="+in).Run(); err != nil {
			return nil, err
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b, nil
	}
	first, err := pack("7", "a", 0o600, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	second, err := pack("7", "b", 0o755, 48*time.Hour)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the same file gives other bytes (%v)", err)
	}
	if _, err := pack("6", "c", 0o755, 0); err == nil {
		t.Error("a file over its budget was packed")
	}
	z, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil || len(z.File) != 2 || z.File[0].Name != "bootstrap" || z.File[1].Name != "extensions/bootstrap" || z.File[1].Mode() != 0o755 {
		t.Fatalf("got %v, %v", z, err)
	}
	f, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || string(got) != "program" {
		t.Errorf("got %q, %v", got, err)
	}
}
