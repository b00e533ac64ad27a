package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

const (
	fileMode   = 0o600
	newSuffix  = ".new"
	tornSuffix = ".torn"
	lockSuffix = ".lock"
)

// Files returns the files of the log at path, oldest first, the way Verify takes them.
func Files(path string) ([]string, error) {
	files, err := asides(path)
	if err != nil {
		return nil, err
	}
	switch _, err := os.Stat(path); {
	case err == nil:
		files = append(files, filepath.Clean(path))
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("looking for the audit log: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("looking for the audit log: %w", os.ErrNotExist)
	}
	return files, nil
}

// asides returns the older files in order of age.
func asides(path string) ([]string, error) {
	dir, stem, ext := split(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for older audit logs: %w", err)
	}
	var files []string
	for _, e := range entries {
		if _, ok := asideID(e.Name(), stem, ext); ok && e.Type().IsRegular() {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(files)
	return files, nil
}

func split(path string) (dir, stem, ext string) {
	dir, name := filepath.Split(filepath.Clean(path))
	if dir == "" {
		dir = "."
	}
	ext = filepath.Ext(name)
	return dir, strings.TrimSuffix(name, ext), ext
}

func asideID(name, stem, ext string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(name, stem+"-")
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(rest, ext)
	return id, ok && validID(id)
}

// asideName returns a name that sorts after those of all older files, whatever the clock says.
func asideName(path string, now time.Time) (string, error) {
	older, err := asides(path)
	if err != nil {
		return "", err
	}
	dir, stem, ext := split(path)
	if len(older) > 0 {
		last, _ := asideID(filepath.Base(older[len(older)-1]), stem, ext)
		if at := idTime(last); now.UnixMilli() <= at.UnixMilli() {
			now = at.Add(time.Millisecond)
		}
	}
	return filepath.Join(dir, stem+"-"+NewID(now)+ext), nil
}
