// Package durable changes files so that what ends the process, or the power, leaves the old content or the new one and
// never a part. A change that returned survives both.
//
// Files are made with mode 0600, those that replace another with its mode; the administrator's have the owner of what they
// replace, or of their directory. What a change that was ended leaves behind are files whose names begin with a dot and
// end in ".part", which Sweep removes.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Create makes a new file. It fails with fs.ErrExist where there is one, and then changes nothing.
func Create(path string, data []byte) error {
	return place(path, data, Link)
}

// Replace makes a file, or takes the place of the one that is there.
func Replace(path string, data []byte) error {
	return place(path, data, Rename)
}

func place(path string, data []byte, put func(from, to string) error) error {
	f, err := Temp(path)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if there, serr := os.Stat(path); serr == nil {
		err = f.Chmod(there.Mode().Perm())
	}
	_, werr := f.Write(data)
	if err := errors.Join(err, werr, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return put(f.Name(), path)
}

// Temp opens an empty file beside path, for what is to have that name later. The caller removes it.
func Temp(path string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix(path)+"*"+tempSuffix)
	if err != nil {
		return nil, err
	}
	from := path
	if _, err := os.Stat(path); err != nil {
		from = filepath.Dir(path)
	}
	if err := Inherit(f.Name(), from); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

func tempPrefix(path string) string { return "." + filepath.Base(path) + "." }

const tempSuffix = ".part"

// Sweep removes what changes of path left behind that were ended, but for those files of which inUse says that somebody is
// at work on them; nil means that nobody is.
func Sweep(path string, inUse func(name string) bool) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(path), e.Name())
		if !strings.HasPrefix(e.Name(), tempPrefix(path)) || !strings.HasSuffix(e.Name(), tempSuffix) || inUse != nil && inUse(name) {
			continue
		}
		if rerr := os.Remove(name); !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// Rename gives a file another name, in the same directory or in another, and takes it from the file that had it.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// Link gives a file a second name. It fails with fs.ErrExist where a file has it.
func Link(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// SyncDir makes changed names of a directory durable.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
