package embedded_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// wantRefused opens a file that must be refused with want, and must be byte for byte as before.
func wantRefused(t *testing.T, c embedded.Config, want error) error {
	t.Helper()
	before, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	v, got := embedded.Open(c)
	if got == nil {
		closeVault(t, v)
	}
	if !errors.Is(got, want) {
		t.Errorf("Open: got %v, want %v", got, want)
	}
	after, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("a refused file was changed")
	}
	return got
}

// inFile changes a vault file as another program would.
func inFile(t *testing.T, path string, f func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpenCreatesPrivateFile(t *testing.T) {
	path := vaultPath(t)
	openVault(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != 0o600 {
		t.Errorf("mode %v, want 0600", got)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, want the vault alone (%v)", entries, err)
	}
}

func TestOpenWarnsOfReadableFile(t *testing.T) {
	path := vaultPath(t)
	closeVault(t, openVault(t, path))
	var log bytes.Buffer
	c := embedded.Config{Path: path, Key: masterKey(1), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	closeVault(t, openWith(t, c))
	if log.Len() > 0 {
		t.Errorf("a private file is worth no warning: %s", &log)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	openWith(t, c)
	if !strings.Contains(log.String(), "others may read") {
		t.Errorf("no warning of a file of mode 0640: %s", &log)
	}
}

func TestOpenRefusesBadConfig(t *testing.T) {
	for name, c := range map[string]embedded.Config{
		"no path":      {Key: masterKey(1)},
		"no key":       {Path: vaultPath(t)},
		"short key":    {Path: vaultPath(t), Key: masterKey(1)[1:]},
		"no directory": {Path: filepath.Join(t.TempDir(), "none", "vault.db"), Key: masterKey(1)},
		"a directory":  {Path: t.TempDir(), Key: masterKey(1)},
	} {
		if _, err := embedded.Open(c); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestOpenRefusesWrongKey(t *testing.T) {
	path := vaultPath(t)
	v := openVault(t, path)
	write(t, v, "web/KEY", "value")
	closeVault(t, v)
	err := wantRefused(t, embedded.Config{Path: path, Key: masterKey(2)}, embedded.ErrWrongKey)
	if errors.Is(err, embedded.ErrCorrupt) {
		t.Errorf("%v: a wrong key is no damage", err)
	}
	wantValue(t, openVault(t, path), "web/KEY", secret.Current, "value")
}

func TestOpenRefusesForeignFiles(t *testing.T) {
	for name, content := range map[string]string{
		"text": "DATABASE_URL=postgres://localhost\n", "one byte": "x", "zeros": strings.Repeat("\x00", 100_000),
		"sqlite": "SQLite format 3\x00" + strings.Repeat("\x10", 8192),
	} {
		t.Run(name, func(t *testing.T) {
			path := vaultPath(t)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_ = wantRefused(t, embedded.Config{Path: path, Key: masterKey(1)}, embedded.ErrForeign)
		})
	}
	t.Run("database", func(t *testing.T) {
		path := vaultPath(t)
		inFile(t, path, func(tx *bolt.Tx) error {
			_, err := tx.CreateBucket([]byte("facts"))
			return err
		})
		_ = wantRefused(t, embedded.Config{Path: path, Key: masterKey(1)}, embedded.ErrForeign)
	})
	t.Run("database without free pages", func(t *testing.T) {
		path := vaultPath(t)
		db, err := bolt.Open(path, 0o600, &bolt.Options{NoFreelistSync: true})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("x")); return err })
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		_ = wantRefused(t, embedded.Config{Path: path, Key: masterKey(1)}, embedded.ErrForeign)
	})
}

// An empty file is damage, never a new vault: version numbers would begin again.
func TestOpenRefusesEmptyFile(t *testing.T) {
	path := vaultPath(t)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = wantRefused(t, embedded.Config{Path: path, Key: masterKey(1)}, embedded.ErrCorrupt)
}

func TestOpenRefusesHeaders(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(header []byte) []byte
		want   error
	}{
		"newer format": {func(h []byte) []byte { binary.BigEndian.PutUint16(h, 2); return append(h, "more"...) }, embedded.ErrNewerFormat},
		"no format": {func(h []byte) []byte {
			binary.BigEndian.PutUint16(h, 0)
			sum := sha256.Sum256(h[:len(h)-8])
			return append(h[:len(h)-8], sum[:8]...)
		}, embedded.ErrCorrupt},
		"altered ID":    {func(h []byte) []byte { h[2]++; return h }, embedded.ErrCorrupt},
		"altered check": {func(h []byte) []byte { h[30]++; return h }, embedded.ErrCorrupt},
		"short":         {func(h []byte) []byte { return h[:len(h)-1] }, embedded.ErrCorrupt},
		"empty":         {func(h []byte) []byte { return nil }, embedded.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			path := vaultPath(t)
			closeVault(t, openVault(t, path))
			inFile(t, path, func(tx *bolt.Tx) error {
				b := tx.Bucket([]byte("keyhole-vault"))
				return b.Put([]byte("header"), tt.change(bytes.Clone(b.Get([]byte("header")))))
			})
			_ = wantRefused(t, embedded.Config{Path: path, Key: masterKey(1)}, tt.want)
		})
	}
	for _, bucket := range []string{"heads", "versions", "outbox"} {
		t.Run("no "+bucket, func(t *testing.T) {
			path := vaultPath(t)
			closeVault(t, openVault(t, path))
			inFile(t, path, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(bucket)) })
			_ = wantRefused(t, embedded.Config{Path: path, Key: masterKey(1)}, embedded.ErrCorrupt)
		})
	}
}

func TestOpenRefusesLockedFile(t *testing.T) {
	path := vaultPath(t)
	v := openVault(t, path)
	_ = wantRefused(t, embedded.Config{Path: path, Key: masterKey(1)}, embedded.ErrLocked)
	write(t, v, "web/KEY", "still open")
	closeVault(t, v)
	wantValue(t, openVault(t, path), "web/KEY", secret.Current, "still open")
}

// While another process may be writing, pages do not hold together, and that is no damage.
func TestOpenDoesNotLookAtLockedFile(t *testing.T) {
	path := vaultPath(t)
	openVault(t, path)
	other, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	metas := make([]byte, 8192)
	if _, err := other.ReadAt(metas, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := other.WriteAt(make([]byte, len(metas)), 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = other.WriteAt(metas, 0) }()
	_ = wantRefused(t, embedded.Config{Path: path, Key: masterKey(1)}, embedded.ErrLocked)
}

// Several processes may start at once on a fresh directory: all must end up with one vault.
func TestOpenConcurrentlyCreatesOnce(t *testing.T) {
	path := vaultPath(t)
	const openers = 6
	errs := make(chan error)
	for i := range openers {
		go func() {
			v, err := embedded.Open(embedded.Config{Path: path, Key: masterKey(1)})
			if err == nil {
				_, _, err = v.Write(t.Context(), fmt.Sprintf("opener/%d", i), secret.Write{Secret: value("here")})
				err = errors.Join(err, v.Close())
			}
			errs <- err
		}()
	}
	opened := 0
	for range openers {
		if err := <-errs; err == nil {
			opened++
		} else if !errors.Is(err, embedded.ErrLocked) {
			t.Error(err)
		}
	}
	items, err := openVault(t, path).List(t.Context(), "", "", 100)
	if err != nil || len(items) != opened || opened == 0 {
		t.Errorf("%d openers wrote, %d secrets are there (%v)", opened, len(items), err)
	}
}

func TestClosed(t *testing.T) {
	v := openVault(t, vaultPath(t))
	write(t, v, "web/KEY", "value")
	closeVault(t, v)
	ctx := t.Context()
	_, readErr := v.Read(ctx, "web/KEY", secret.Current)
	_, listErr := v.List(ctx, "", "", 1)
	_, _, writeErr := v.Write(ctx, "web/KEY", secret.Write{Secret: value("x")})
	_, pendingErr := v.Pending(ctx)
	for i, err := range []error{readErr, listErr, writeErr, pendingErr, v.Settle(ctx, 1), v.Delete(ctx, "web/KEY")} {
		if !errors.Is(err, embedded.ErrClosed) || !errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("call %d: got %v, want ErrClosed", i, err)
		}
	}
}

// The values must not be in the file, and the names are known to be.
func TestFileHidesValues(t *testing.T) {
	path := vaultPath(t)
	v := openVault(t, path)
	s := &secret.Secret{Fields: []secret.Field{{Name: "FIELD-NAME", Value: secret.NewValue([]byte("FIELD-VALUE"))}}, Metadata: map[string]string{"META-NAME": "META-VALUE"}}
	if _, _, err := v.Write(t.Context(), "web/SECRET-NAME", secret.Write{Secret: s}); err != nil {
		t.Fatal(err)
	}
	write(t, v, "web/OTHER", "PLAIN-VALUE")
	closeVault(t, v)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"FIELD-NAME", "FIELD-VALUE", "META-NAME", "META-VALUE", "PLAIN-VALUE", string(masterKey(1))} {
		if bytes.Contains(file, []byte(hidden)) {
			t.Errorf("the file shows %q", hidden)
		}
	}
	if !bytes.Contains(file, []byte("SECRET-NAME")) {
		t.Error("names are documented to be in the clear; this test looks at the wrong file")
	}
}
