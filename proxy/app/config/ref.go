package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// MaxRefBytes is the most that a reference may lead to; compiled policies are the largest.
const MaxRefBytes = 16 << 20

var (
	// ErrRefUnresolved is wrapped by every error of Ref.Resolve: the file or variable must be put right.
	ErrRefUnresolved = errors.New("unresolved reference")
	// ErrRefUnsupported is wrapped where a reference has a scheme that this build cannot follow: use file: or env:.
	ErrRefUnsupported = errors.New("unsupported reference")
)

// errRef never quotes: what stands in place of a reference may be the secret itself.
var errRef = errors.New("not a reference")

// Ref is where something is, never the thing itself: file:PATH, env:NAME or kms:KEY, and builtin:NAME for policies. The
// zero Ref is absent.
type Ref struct {
	Scheme string // "file", "env", "kms" or "builtin"
	Name   string // what follows the colon
	// Private says that a file must be readable by its owner alone.
	Private bool
}

// ParseRef parses SCHEME:NAME with one of the schemes. Its errors do not quote s.
func ParseRef(s string, schemes ...string) (Ref, error) {
	scheme, name, ok := strings.Cut(s, ":")
	switch {
	case !ok || !slices.Contains(schemes, scheme):
		return Ref{}, errRef
	case name == "" || hasControl(name):
		return Ref{}, errRef
	case scheme == "env" && !isEnvName(name):
		return Ref{}, errRef
	}
	return Ref{Scheme: scheme, Name: name}, nil
}

// IsZero reports whether there is no reference.
func (r Ref) IsZero() bool { return r == Ref{} || r == Ref{Private: true} }

// String is the form that ParseRef reads. It is not secret.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return r.Scheme + ":" + r.Name
}

// Resolve reads what r leads to, its bytes exactly as they are (a file's last newline included). Relative files are
// relative to baseDir; getenv is usually os.Getenv. Nothing, or more than MaxRefBytes, is an error, and so is a private
// file that others may read. The caller wipes what it gets.
func (r Ref) Resolve(baseDir string, getenv func(string) string) ([]byte, error) {
	switch r.Scheme {
	case "file":
		data, err := r.readFile(baseDir)
		if err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrRefUnresolved, r, err)
		}
		return data, nil
	case "env":
		if v := getenv(r.Name); v != "" {
			return []byte(v), nil
		}
		return nil, fmt.Errorf("%w %s: the environment variable %s is not set or empty", ErrRefUnresolved, r, r.Name)
	case "kms":
		return nil, fmt.Errorf("%w: %w: %s: this build has no key management service; use a file: or env: reference", ErrRefUnresolved, ErrRefUnsupported, r)
	}
	return nil, fmt.Errorf("%w: %w: %q leads to no bytes", ErrRefUnresolved, ErrRefUnsupported, r.String())
}

func (r Ref) readFile(baseDir string) ([]byte, error) {
	name := r.Name
	if !filepath.IsAbs(name) {
		name = filepath.Join(baseDir, name)
	}
	// Stat first: opening a named pipe would wait for its other end. What counts is asked again of the open file.
	if info, err := os.Stat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Windows has no such bits.
	if mode := info.Mode().Perm(); r.Private && mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("a private file that others may use (mode %04o); run: chmod 600 %s", mode, name)
	}
	if info.Size() > MaxRefBytes {
		return nil, fmt.Errorf("larger than %d bytes", MaxRefBytes)
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxRefBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) == 0:
		return nil, errors.New("the file is empty")
	case len(data) > MaxRefBytes:
		return nil, fmt.Errorf("larger than %d bytes", MaxRefBytes)
	}
	return data, nil
}

func isEnvName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
