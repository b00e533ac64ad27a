package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
)

func want(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text || info.Mode() != mode {
		t.Errorf("%s: got %q with mode %v, want %q with %v", filepath.Base(path), got, info.Mode(), text, mode)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v (%v), want the file alone", entries, err)
	}
}

func TestCreateAndReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := durable.Create(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	want(t, path, "one", 0o600)
	if err := durable.Create(path, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating what is there: got %v, want ErrExist", err)
	}
	want(t, path, "one", 0o600)
	if err := durable.Replace(path, []byte("two")); err != nil {
		t.Fatal(err)
	}
	want(t, path, "two", 0o600)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(path, []byte("three")); err != nil {
		t.Fatal(err)
	}
	want(t, path, "three", 0o644)
	if err := durable.Replace(filepath.Join(path, "below"), nil); err == nil {
		t.Error("a file below a file was made")
	}
}

// Where the administrator replaces a file, it stays its owner's.
func TestReplaceKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only the administrator can give files away")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := durable.Create(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 1234, 1234); err != nil {
		t.Skip(err)
	}
	if err := durable.Replace(path, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if uid := owner(t, path); uid != 1234 {
		t.Errorf("the replaced file belongs to user %d", uid)
	}
	if err := os.Chown(dir, 1235, 1235); err != nil {
		t.Fatal(err)
	}
	if err := durable.Create(path+"2", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if uid := owner(t, path+"2"); uid != 1235 {
		t.Errorf("the new file belongs to user %d, not to that of its directory", uid)
	}
}

func TestLinkTakesNoName(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, path := range []string{a, b} {
		if err := durable.Create(path, []byte(path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.Link(a, b); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want ErrExist", err)
	}
	if err := durable.Rename(a, b); err != nil {
		t.Fatal(err)
	}
	want(t, b, a, 0o600)
}
