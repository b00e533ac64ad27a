package vaultfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/durable"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// Rekeyed is what came of a rekey.
type Rekeyed struct {
	embedded.Contents
	Finished bool   // an earlier one was only finished; Contents is zero
	OldKey   string // the file that has the old key now
}

// Rekey gives the vault, which no process may have open, a new master key. Nothing of the old key's work is in the new
// file: it is a copy. The order of the steps is the promise that one of the two keys always opens the vault:
//
//	the new key is written beside the old one; the copy is made and read to its end; the old key gets a name of its own,
//	since backups need it; the copy becomes the vault; the new key becomes the key.
//
// A rekey that was ended after the copy became the vault is finished by the next one, and one that was ended before is
// forgotten by it.
func (f File) Rekey(ctx context.Context, now time.Time) (r Rekeyed, err error) {
	if f.keyPath() == "" {
		return r, fmt.Errorf("%w: the master key is %s, and only a key in a file can be replaced; name it with file:PATH", ErrConfig, f.Key)
	}
	if len(f.others) > 0 {
		return r, fmt.Errorf("%w: the master key %s is that of %s too, which a new key would not open; give each vault a copy of the key in a file of its own first",
			ErrConfig, f.Key, strings.Join(f.others, ", "))
	}
	if _, err := os.Stat(f.Path); err != nil {
		return r, fmt.Errorf("there is no vault to rekey: %w", err)
	}
	v, key, err := f.open(embedded.Config{})
	if err != nil {
		return r, err
	}
	defer clear(key)
	defer func() { err = errors.Join(err, v.Close()) }()
	if err := durable.Sweep(f.keyPath()+pendingSuffix, nil); err != nil {
		return r, fmt.Errorf("removing what an earlier rekey left: %w", err)
	}
	if f.Pending() != "" {
		if r.Finished, err = f.resume(key, now); r.Finished || err != nil {
			r.OldKey = f.keptKey()
			return r, err
		}
	}
	next, err := f.newKey()
	if err != nil {
		return r, fmt.Errorf("making the new key: %w", err)
	}
	defer clear(next)
	if r.Contents, err = f.replacement(ctx, v, next); err != nil {
		return r, errors.Join(err, os.Remove(f.keyPath()+pendingSuffix))
	}
	if r.OldKey, err = f.keepKey(now); err != nil {
		return r, fmt.Errorf("keeping the old key: %w", err)
	}
	if err := durable.Rename(f.copyPath(), f.Path); err != nil {
		return r, fmt.Errorf("replacing the vault: %w", err)
	}
	return r, f.promote()
}

// resume looks at a pending key: where it is the one that opened the vault, all that is missing is its name.
func (f File) resume(opened []byte, now time.Time) (finished bool, err error) {
	pending, err := f.pendingKey()
	if err == nil {
		defer clear(pending)
		if string(pending) == string(opened) {
			return true, f.promote()
		}
	}
	// It opens nothing that is known here: the vault is that of the old key still.
	return false, durable.Rename(f.keyPath()+pendingSuffix, aside(f.keyPath(), now, unusedSuffix))
}

func (f File) newKey() ([]byte, error) {
	text, err := embedded.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	if err := durable.Create(f.keyPath()+pendingSuffix, text); err != nil {
		return nil, err
	}
	// What the file says, and not what was to be written, must open the vault.
	return f.pendingKey()
}

// promote gives the pending key the name of the key.
func (f File) promote() error {
	if err := durable.Rename(f.keyPath()+pendingSuffix, f.keyPath()); err != nil {
		return fmt.Errorf("naming the new key: %w", err)
	}
	return nil
}

// keepKey gives the old key a second name, unless an earlier rekey has.
func (f File) keepKey(now time.Time) (string, error) {
	if kept := f.keptKey(); kept != "" && sameFile(kept, f.keyPath()) {
		return kept, nil
	}
	kept := aside(f.keyPath(), now, oldSuffix)
	if err := durable.Link(f.keyPath(), kept); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return kept, nil
}

// keptKey is the newest of the old keys, "" where there is none.
func (f File) keptKey() (newest string) {
	entries, err := os.ReadDir(filepath.Dir(f.keyPath()))
	if err != nil {
		return ""
	}
	for _, e := range entries { // in order of their names, which hold the time
		if strings.HasPrefix(e.Name(), filepath.Base(f.keyPath())+".") && strings.HasSuffix(e.Name(), oldSuffix) {
			newest = filepath.Join(filepath.Dir(f.keyPath()), e.Name())
		}
	}
	return newest
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
