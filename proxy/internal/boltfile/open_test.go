package boltfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/internal/boltfile"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	whole := sample(t, 10)
	for name, row := range map[string]struct {
		data []byte
		want error
	}{
		"whole":     {whole, nil},
		"empty":     {nil, boltfile.ErrDamaged},
		"cut short": {whole[:len(whole)/2], boltfile.ErrDamaged},
		"text":      {[]byte("this is no database"), boltfile.ErrForeign},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, row.data, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := boltfile.Open(path, os.O_RDWR)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", name, err, row.want)
		}
		if err != nil {
			continue
		}
		if _, err := boltfile.Open(path, os.O_RDWR); !errors.Is(err, boltfile.ErrLocked) {
			t.Errorf("opened twice: got %v, want ErrLocked", err)
		}
		boltfile.Abandon(file)
		if file, err = boltfile.Open(path, os.O_RDWR); err != nil {
			t.Fatalf("abandoned: %v", err)
		}
		boltfile.Abandon(file)
	}
	if _, err := boltfile.Open(filepath.Join(dir, "none"), os.O_RDWR); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
}
