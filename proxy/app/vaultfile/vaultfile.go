// Package vaultfile does to the file of an embedded vault what a running server does not: it opens it with the key that
// the configuration names, saves and restores backups, and gives it another master key.
//
// Laws. What is there is never written over: a file or key that is replaced keeps a name of its own. A copy is opened and
// read to its end before it takes the place of anything. Whatever ends the process, the vault's path leads to a whole
// vault, and one of two keys opens it: the one that the configuration names or, while a rekey has still to be finished,
// the one beside it (pendingSuffix).
package vaultfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

const (
	// pendingSuffix marks the new master key of a rekey that is not finished.
	pendingSuffix = ".new"
	// copySuffix marks a vault that is being made to replace another. A dot stands before its name.
	copySuffix = ".copy"
	// oldSuffix marks what was replaced; a time stands before it.
	oldSuffix = ".old"
	// unusedSuffix marks a new key that no vault was given; a time stands before it.
	unusedSuffix = ".unused"
)

// ErrKeyLost is wrapped where there is a vault but no key for it.
var ErrKeyLost = errors.New("the vault's master key is not there")

// ErrWrongKey is wrapped where a vault or a backup was made with another master key.
var ErrWrongKey = embedded.ErrWrongKey

// ErrLocked is wrapped where another process has the vault open: stop it.
var ErrLocked = embedded.ErrLocked

// Contents is what a vault holds.
type Contents = embedded.Contents

// ErrConfig is wrapped where the configuration has no vault that is meant, or not one whose file this package may change.
var ErrConfig = errors.New("no such embedded vault")

// File is an embedded vault of a configuration.
type File struct {
	Name string // of the upstream
	Path string
	Key  config.Ref

	base   string
	getenv func(string) string
	others []string // vaults of the configuration with the same key
}

// Of is the vault that an upstream of c describes.
func Of(c *config.Config, name string, u config.Embedded, getenv func(string) string) File {
	return File{Name: name, Path: followed(c.Abs(u.Path)), Key: u.Key, base: c.Dir, getenv: getenv}
}

// All is the vaults of c, by name.
func All(c *config.Config, getenv func(string) string) []File {
	var out []File
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		if u := c.Upstreams[name]; u.Embedded != nil {
			out = append(out, Of(c, name, *u.Embedded, getenv))
		}
	}
	for i := range out {
		for j, other := range out {
			if i != j && out[i].keyPath() != "" && out[i].keyPath() == other.keyPath() {
				out[i].others = append(out[i].others, other.Name)
			}
		}
	}
	return out
}

// Find is the vault called name, or the only one where name is "".
func Find(c *config.Config, name string, getenv func(string) string) (File, error) {
	all := All(c, getenv)
	var names []string
	for _, f := range all {
		if f.Name == name || name == "" && len(all) == 1 {
			return f, nil
		}
		names = append(names, f.Name)
	}
	switch {
	case len(all) == 0:
		return File{}, fmt.Errorf("%w: the configuration has none", ErrConfig)
	case name == "":
		return File{}, fmt.Errorf("%w: there are several, %s: say which with --upstream", ErrConfig, strings.Join(names, ", "))
	}
	return File{}, fmt.Errorf("%w: %q; there are %s", ErrConfig, name, strings.Join(names, ", "))
}

// Open opens the vault with the key that the configuration names, or with the pending one of a rekey that was ended
// before it was finished. It changes neither key. c needs no path and no key.
func (f File) Open(c embedded.Config) (*embedded.Vault, error) {
	v, _, err := f.open(c)
	return v, err
}

// open also tells the key; the caller wipes it.
func (f File) open(c embedded.Config) (*embedded.Vault, []byte, error) {
	c.Path = f.Path
	key, err := f.masterKey()
	if err != nil {
		return nil, nil, err
	}
	c.Key = key
	v, err := embedded.Open(c)
	if !errors.Is(err, embedded.ErrWrongKey) {
		return v, key, err
	}
	clear(key)
	if pending, perr := f.pendingKey(); perr == nil {
		c.Key = pending
		if v, perr := embedded.Open(c); perr == nil {
			if c.Logger != nil {
				c.Logger.Warn("a rekey of the vault was not finished, it opens with the new key; run: keyhole vault rekey", "path", f.Path, "key", f.keyPath()+pendingSuffix)
			}
			return v, pending, nil
		}
		clear(pending)
	}
	return nil, nil, fmt.Errorf("%w (%s): put back the key that it was made with; a vault that was restored or moved by hand has the key of where it came from", err, f.Key)
}

// Check opens the vault for reading with its key and closes it. It says what Verify finds where thorough is set.
func (f File) Check(ctx context.Context, thorough bool) (found embedded.Contents, err error) {
	v, err := f.Open(embedded.Config{ReadOnly: true})
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	if thorough {
		found, err = v.Verify(ctx)
	}
	return found, err
}

// Exists reports whether there is anything at the vault's path.
func (f File) Exists() bool {
	_, err := os.Lstat(f.Path)
	return err == nil
}

// CheckKey reads the master key and forgets it.
func (f File) CheckKey() error {
	key, err := f.masterKey()
	clear(key)
	return err
}

// masterKey reads the key that the configuration names. The caller wipes it.
func (f File) masterKey() ([]byte, error) {
	key, err := f.resolve(f.Key)
	if _, serr := os.Stat(f.Path); err != nil && serr == nil && missing(err) {
		return nil, fmt.Errorf("%w: %w\nwithout it every value in %s is lost: nothing else can decrypt it, and no backup made with it. "+
			"Put the key back from where you keep it. To begin anew without the values, move the vault's file away", ErrKeyLost, err, f.Path)
	}
	return key, err
}

// missing tells a key that is not there from one that cannot be used.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, config.ErrRefUnresolved) && strings.Contains(err.Error(), "is not set or empty")
}

func (f File) pendingKey() ([]byte, error) {
	if f.keyPath() == "" {
		return nil, fs.ErrNotExist
	}
	return f.resolve(config.Ref{Scheme: "file", Name: f.keyPath() + pendingSuffix, Private: true})
}

func (f File) resolve(r config.Ref) ([]byte, error) {
	text, err := r.Resolve(f.base, f.getenv)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := embedded.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	return key, nil
}

// keyPath is the file of the key, "" where it is not in a file.
func (f File) keyPath() string {
	if f.Key.Scheme != "file" {
		return ""
	}
	return followed((&config.Config{Dir: f.base}).Abs(f.Key.Name))
}

// followed follows links, so that a replaced file is replaced where it lies.
func followed(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return path
}

// Pending is the file of a key that a rekey left behind, "" where there is none.
func (f File) Pending() string {
	if f.keyPath() == "" {
		return ""
	}
	pending := f.keyPath() + pendingSuffix
	if _, err := os.Lstat(pending); err != nil {
		return ""
	}
	return pending
}

// aside is the name that a file gets when it is put away now.
func aside(path string, now time.Time, suffix string) string {
	return path + "." + now.UTC().Format("20060102T150405.000Z") + suffix
}

func (f File) copyPath() string {
	return filepath.Join(filepath.Dir(f.Path), "."+filepath.Base(f.Path)+copySuffix)
}
