package config_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

func TestParseRef(t *testing.T) {
	for _, s := range []string{"file:a", "file:/a b/c", "env:A_1", "env:_", "kms:alias/x"} {
		if r, err := config.ParseRef(s, "file", "env", "kms"); err != nil || r.String() != s {
			t.Errorf("%q: got %v, %v", s, r, err)
		}
	}
	for _, s := range []string{"", "a", "file:", "env:", "env:1A", "env:A-B", "env:A=B", "FILE:a", "builtin:x", "http://x", ":x", "file:a\nb", "file:a\x00"} {
		if r, err := config.ParseRef(s, "file", "env", "kms"); err == nil {
			t.Errorf("%q: got %v, want an error", s, r)
		} else if s != "" && len(s) > 3 && strings.Contains(err.Error(), s) {
			t.Errorf("%q is quoted: %v", s, err)
		}
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode, data []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("own", 0o600, []byte("k\n"))
	write("read-only", 0o400, []byte("k\n"))
	write("group", 0o640, []byte("k\n"))
	write("all", 0o604, []byte("k\n"))
	write("empty", 0o600, nil)
	write("huge", 0o600, bytes.Repeat([]byte("x"), config.MaxRefBytes+1))
	if err := os.Symlink("own", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"KEY": "v"}[name] }
	for _, tt := range []struct {
		ref  config.Ref
		want string // the bytes, or for an error a part of it
		ok   bool
	}{
		{private("file:own"), "k\n", true},
		{private("file:read-only"), "k\n", true},
		{private("file:link"), "k\n", true},
		{private("file:" + filepath.Join(dir, "own")), "k\n", true},
		{ref("file:all"), "k\n", true},
		{private("file:group"), "mode 0640); run: chmod 600 " + filepath.Join(dir, "group"), false},
		{private("file:all"), "chmod 600", false},
		{ref("file:empty"), "the file is empty", false},
		{ref("file:huge"), "larger than", false},
		{ref("file:pipe"), "not a regular file", false},
		{ref("file:."), "not a regular file", false},
		{ref("file:missing"), "no such file", false},
		{private("env:KEY"), "v", true},
		{ref("env:NONE"), "the environment variable NONE is not set", false},
		{ref("kms:alias/x"), "no key management service", false},
		{ref("builtin:scope"), "leads to no bytes", false},
		{config.Ref{}, "leads to no bytes", false},
	} {
		got, err := tt.ref.Resolve(dir, getenv)
		switch {
		case tt.ok && (err != nil || string(got) != tt.want):
			t.Errorf("%v: got %q, %v; want %q", tt.ref, got, err, tt.want)
		case !tt.ok && (!errors.Is(err, config.ErrRefUnresolved) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%v: got %q, %v; want an error with %q", tt.ref, got, err, tt.want)
		}
	}
	if _, err := ref("kms:x").Resolve(dir, getenv); !errors.Is(err, config.ErrRefUnsupported) {
		t.Errorf("kms: got %v, want ErrRefUnsupported", err)
	}
	if (config.Ref{}).IsZero() == false || private("env:A").IsZero() {
		t.Error("IsZero is wrong")
	}
}
