package vaultfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/vaultfile"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

var now = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

// kept is what a file is called that was put away now.
const kept = ".20261122T030000.000Z.old"

// vault makes a directory with a key and a vault of two secrets.
func vault(t *testing.T) vaultfile.File {
	t.Helper()
	dir := t.TempDir()
	key, err := embedded.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "master.key"), key)
	f := in(dir)
	write(t, f, "web/A", "one")
	write(t, f, "web/A", "two")
	write(t, f, "web/B", "other")
	return f
}

func in(dir string) vaultfile.File {
	c := &config.Config{Dir: dir}
	u := config.Embedded{Path: "vault.db", Key: config.Ref{Scheme: "file", Name: "master.key", Private: true}}
	return vaultfile.Of(c, "local", u, os.Getenv)
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func with(t *testing.T, f vaultfile.File, do func(v *embedded.Vault)) {
	t.Helper()
	v, err := f.Open(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	do(v)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, f vaultfile.File, name, text string) {
	t.Helper()
	with(t, f, func(v *embedded.Vault) {
		if _, _, err := v.Write(t.Context(), name, secret.Write{Secret: &secret.Secret{Value: secret.NewValue([]byte(text))}}); err != nil {
			t.Fatal(err)
		}
	})
}

func wants(t *testing.T, f vaultfile.File, name, want string) {
	t.Helper()
	with(t, f, func(v *embedded.Vault) {
		s, err := v.Read(t.Context(), name, secret.Current)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := string(s.Value.Reveal()); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	})
}

func backup(t *testing.T, f vaultfile.File) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup")
	if _, err := f.Save(t.Context(), path, false, snapshot(f)); err != nil {
		t.Fatal(err)
	}
	return path
}

func snapshot(f vaultfile.File) func(io.Writer) error {
	return func(w io.Writer) error { return f.Snapshot(context.Background(), w) }
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestSave(t *testing.T) {
	f := vault(t)
	path := filepath.Join(t.TempDir(), "backup")
	found, err := f.Save(t.Context(), path, false, snapshot(f))
	if want := (vaultfile.Contents{Secrets: 2, Versions: 3, Pending: 3}); err != nil || found != want {
		t.Fatalf("got %+v (%v), want %+v", found, err, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	before := get(t, path)
	if bytes.Contains(before, []byte("other")) {
		t.Error("a value is in the backup")
	}
	write(t, f, "web/C", "new")
	if _, err := f.Save(t.Context(), path, false, snapshot(f)); !errors.Is(err, vaultfile.ErrExists) {
		t.Errorf("onto a backup: got %v, want ErrExists", err)
	}
	if !bytes.Equal(get(t, path), before) {
		t.Error("a backup was written over")
	}
	if found, err := f.Save(t.Context(), path, true, snapshot(f)); err != nil || found.Secrets != 3 {
		t.Errorf("replacing: got %+v (%v)", found, err)
	}
	late := path + "2" // somebody else is quicker
	_, err = f.Save(t.Context(), late, false, func(w io.Writer) error {
		put(t, late, []byte("theirs"))
		return f.Snapshot(t.Context(), w)
	})
	if !errors.Is(err, fs.ErrExist) || string(get(t, late)) != "theirs" {
		t.Errorf("onto a file that was made meanwhile: got %v", err)
	}
	vaultBefore := get(t, f.Path)
	for _, self := range []string{f.Path, f.Path + ".link"} {
		_ = os.Link(f.Path, f.Path+".link")
		if _, err := f.Save(t.Context(), self, true, snapshot(f)); !errors.Is(err, vaultfile.ErrExists) {
			t.Errorf("onto the vault itself: got %v, want ErrExists", err)
		}
	}
	if !bytes.Equal(get(t, f.Path), vaultBefore) {
		t.Error("the vault was written over")
	}
}

// A copy that was cut off, altered or is of another vault never gets the name, and takes nothing's place.
func TestSaveThrowsBadCopiesAway(t *testing.T) {
	f, other := vault(t), vault(t)
	good := get(t, backup(t, f))
	path := filepath.Join(t.TempDir(), "backup")
	put(t, path, []byte("the backup before"))
	for name, fill := range map[string]func(io.Writer) error{
		"cut off":        func(w io.Writer) error { _, err := w.Write(good[:len(good)-4096]); return err },
		"cut to nothing": func(io.Writer) error { return nil },
		"altered": func(w io.Writer) error {
			_, err := w.Write(bytes.ReplaceAll(good, []byte("web/A\x00"), []byte("web/Z\x00")))
			return err
		},
		"another vault's": snapshot(other),
		"a failed write":  func(w io.Writer) error { _, _ = w.Write(good); return errors.New("no space left") },
	} {
		if _, err := f.Save(t.Context(), path, true, fill); err == nil {
			t.Errorf("%s: taken", name)
		}
		if got := names(t, filepath.Dir(path)); len(got) != 1 || string(get(t, path)) != "the backup before" {
			t.Errorf("%s: leaves %v", name, got)
		}
	}
}

// What a killed backup or rekey left is removed by the next one, and what another backup is at work on is not.
func TestLeftoversAreRemoved(t *testing.T) {
	f := vault(t)
	path := filepath.Join(t.TempDir(), "back[up")
	left := filepath.Join(filepath.Dir(path), ".back[up.1.part")
	put(t, left, []byte("half a vault"))
	_, err := f.Save(t.Context(), path, true, func(w io.Writer) error {
		if _, err := f.Save(t.Context(), path, true, snapshot(f)); err != nil {
			t.Errorf("a backup amid another: %v", err)
		}
		return f.Snapshot(t.Context(), w)
	})
	if got := names(t, filepath.Dir(path)); err != nil || len(got) != 1 {
		t.Errorf("got %v (%v), want one backup", got, err)
	}
	put(t, filepath.Join(filepath.Dir(f.Path), ".master.key.new.1.part"), []byte("half a key"))
	if _, err := f.Rekey(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if got := names(t, filepath.Dir(f.Path)); len(got) != 3 {
		t.Errorf("the directory holds %v, want the vault and two keys", got)
	}
}

func TestRestore(t *testing.T) {
	f := vault(t)
	saved := backup(t, f)
	write(t, f, "web/A", "three")
	r, err := f.Restore(t.Context(), saved, "", now)
	if err != nil || r.Secrets != 2 || r.Kept != f.Path+kept {
		t.Fatalf("got %+v (%v)", r, err)
	}
	wants(t, f, "web/A", "two")
	old := f
	old.Path = r.Kept
	wants(t, old, "web/A", "three")
	if got := names(t, filepath.Dir(f.Path)); len(got) != 3 {
		t.Errorf("the directory holds %v, want the key and two vaults", got)
	}
	// A vault that is gone is restored too.
	if err := os.Remove(f.Path); err != nil {
		t.Fatal(err)
	}
	if r, err = f.Restore(t.Context(), saved, "", now); err != nil || r.Kept != "" {
		t.Fatalf("got %+v (%v)", r, err)
	}
	wants(t, f, "web/A", "two")
}

func TestRestoreChangesNothingWhereItRefuses(t *testing.T) {
	f := vault(t)
	good := get(t, backup(t, f))
	dir := t.TempDir()
	altered := filepath.Join(dir, "altered")
	put(t, altered, bytes.ReplaceAll(good, []byte("web/A\x00"), []byte("web/Z\x00")))
	short := filepath.Join(dir, "short")
	put(t, short, good[:len(good)-4096])
	value := filepath.Join(dir, "value") // one value was altered, and nothing else
	put(t, value, good)
	alterValue(t, value)
	text := filepath.Join(dir, "text")
	put(t, text, []byte("no vault"))
	before, entries := get(t, f.Path), fmt.Sprint(names(t, filepath.Dir(f.Path)))
	for name, want := range map[string]error{
		altered: embedded.ErrCorrupt, value: embedded.ErrCorrupt, short: embedded.ErrCorrupt, text: embedded.ErrForeign, text + "2": fs.ErrNotExist,
		backup(t, vault(t)): vaultfile.ErrWrongKey, dir: embedded.ErrForeign,
	} {
		if _, err := f.Restore(t.Context(), name, "", now); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", filepath.Base(name), err, want)
		}
		if !bytes.Equal(get(t, f.Path), before) || fmt.Sprint(names(t, filepath.Dir(f.Path))) != entries {
			t.Errorf("%s: the directory changed: %v", filepath.Base(name), names(t, filepath.Dir(f.Path)))
		}
	}
	saved := filepath.Join(dir, "good")
	put(t, saved, good)
	with(t, f, func(*embedded.Vault) {
		if _, err := f.Restore(t.Context(), saved, "", now); !errors.Is(err, vaultfile.ErrLocked) {
			t.Errorf("under a server: got %v, want ErrLocked", err)
		}
	})
	put(t, filepath.Join(filepath.Dir(f.Path), "master.key.new"), []byte("x"))
	if _, err := f.Restore(t.Context(), saved, "", now); !errors.Is(err, vaultfile.ErrUnfinished) {
		t.Errorf("amid a rekey: got %v, want ErrUnfinished", err)
	}
}

// alterValue flips a bit of what one version sealed.
func alterValue(t *testing.T, path string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		k, v := tx.Bucket([]byte("versions")).Cursor().First()
		record := bytes.Clone(v)
		record[len(record)-1] ^= 1
		return tx.Bucket([]byte("versions")).Put(bytes.Clone(k), record)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestRekey(t *testing.T) {
	f := vault(t)
	saved := backup(t, f)
	key := filepath.Join(filepath.Dir(f.Path), "master.key")
	before := get(t, key)
	r, err := f.Rekey(t.Context(), now)
	if err != nil || r.Finished || r.Secrets != 2 || r.Versions != 3 || r.OldKey != key+kept {
		t.Fatalf("got %+v (%v)", r, err)
	}
	if !bytes.Equal(get(t, r.OldKey), before) || bytes.Equal(get(t, key), before) {
		t.Error("the old key is not kept, or is the key still")
	}
	wants(t, f, "web/A", "two")
	if got := names(t, filepath.Dir(f.Path)); len(got) != 3 {
		t.Errorf("the directory holds %v, want the vault and two keys", got)
	}
	old := f
	old.Key.Name = r.OldKey
	if _, err := old.Open(embedded.Config{}); !errors.Is(err, vaultfile.ErrWrongKey) {
		t.Errorf("with the old key: got %v, want ErrWrongKey", err)
	}
	if _, err := f.Restore(t.Context(), saved, "", now); !errors.Is(err, vaultfile.ErrWrongKey) {
		t.Errorf("a backup of before: got %v, want ErrWrongKey", err)
	}
	if _, err := f.Restore(t.Context(), saved, r.OldKey, now); err != nil {
		t.Errorf("a backup of before with its key: %v", err)
	}
	wants(t, f, "web/A", "two") // with the new key
}

// Every state that an interrupted rekey can leave: the vault opens, and the next rekey brings it to its end.
func TestRekeyAfterAnInterruption(t *testing.T) {
	for name, c := range map[string]struct {
		interrupted func(t *testing.T, before, after string) // changes what is there before into what was left
		finished    bool
	}{
		"the new key is written": {func(t *testing.T, before, after string) {
			put(t, before+"/master.key.new", get(t, after+"/master.key"))
		}, false},
		"the new key is half written": {func(t *testing.T, before, _ string) {
			put(t, before+"/master.key.new", []byte("keyhole-master-key-v1:"))
		}, false},
		"the copy is half made": {func(t *testing.T, before, after string) {
			put(t, before+"/master.key.new", get(t, after+"/master.key"))
			put(t, before+"/.vault.db.copy", get(t, after+"/vault.db")[:5000])
		}, false},
		"the old key is put away": {func(t *testing.T, before, after string) {
			put(t, before+"/master.key.new", get(t, after+"/master.key"))
			put(t, before+"/.vault.db.copy", get(t, after+"/vault.db"))
			if err := os.Link(before+"/master.key", before+"/master.key"+kept); err != nil {
				t.Fatal(err)
			}
		}, false},
		"the copy is the vault": {func(t *testing.T, before, after string) {
			put(t, before+"/master.key.new", get(t, after+"/master.key"))
			put(t, before+"/vault.db", get(t, after+"/vault.db"))
			if err := os.Link(before+"/master.key", before+"/master.key"+kept); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := vault(t)
			before, after := filepath.Dir(f.Path), t.TempDir()
			put(t, after+"/master.key", get(t, before+"/master.key"))
			put(t, after+"/vault.db", get(t, before+"/vault.db"))
			if _, err := in(after).Rekey(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			oldKey := get(t, before+"/master.key")
			c.interrupted(t, before, after)
			wants(t, f, "web/A", "two") // as a server opens it
			write(t, f, "web/A", "three")
			saved := backup(t, f)
			if _, err := f.Restore(t.Context(), saved, "", now); !errors.Is(err, vaultfile.ErrUnfinished) {
				t.Errorf("restoring: got %v, want ErrUnfinished", err)
			}
			r, err := f.Rekey(t.Context(), now.Add(time.Minute))
			if err != nil || r.Finished != c.finished {
				t.Fatalf("got %+v (%v), want Finished %t", r, err, c.finished)
			}
			wants(t, f, "web/A", "three")
			if !bytes.Equal(get(t, r.OldKey), oldKey) {
				t.Error("the old key is lost")
			}
			if f.Pending() != "" {
				t.Error("the rekey is not finished")
			}
			if bytes.Equal(get(t, before+"/master.key"), oldKey) {
				t.Error("the key is the old one")
			}
			if _, err := os.Stat(before + "/.vault.db.copy"); err == nil {
				t.Error("a copy stays")
			}
			// No key is ever removed: what opened anything at any time is still there.
			if n := strings.Count(strings.Join(names(t, before), " "), "master.key"); n < 2 {
				t.Errorf("the directory holds %v", names(t, before))
			}
		})
	}
}

func TestLostKey(t *testing.T) {
	f := vault(t)
	if err := os.Remove(filepath.Join(filepath.Dir(f.Path), "master.key")); err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(t.TempDir(), "b")
	for name, err := range map[string]error{
		"open":    second(f.Open(embedded.Config{})),
		"backup":  second(f.Save(t.Context(), saved, false, snapshot(f))),
		"restore": second(f.Restore(t.Context(), saved, "", now)),
		"rekey":   second(f.Rekey(t.Context(), now)),
	} {
		if !errors.Is(err, vaultfile.ErrKeyLost) || !strings.Contains(err.Error(), "every value in "+f.Path+" is lost") {
			t.Errorf("%s: got %v, want that every value is lost", name, err)
		}
	}
	if got := names(t, filepath.Dir(f.Path)); len(got) != 1 {
		t.Errorf("the directory holds %v", got)
	}
}

func second[T any](_ T, err error) error { return err }

func TestFind(t *testing.T) {
	c := &config.Config{Dir: t.TempDir(), Upstreams: map[string]config.Upstream{}}
	if _, err := vaultfile.Find(c, "", os.Getenv); !errors.Is(err, vaultfile.ErrConfig) {
		t.Errorf("none: got %v", err)
	}
	c.Upstreams["a"] = config.Upstream{Type: "embedded", Embedded: &config.Embedded{Path: "a.db", Key: config.Ref{Scheme: "env", Name: "K"}}}
	if f, err := vaultfile.Find(c, "", os.Getenv); err != nil || f.Name != "a" || f.Path != filepath.Join(c.Dir, "a.db") {
		t.Errorf("one: got %+v (%v)", f, err)
	} else if _, err := f.Rekey(t.Context(), now); !errors.Is(err, vaultfile.ErrConfig) {
		t.Errorf("a key in the environment: got %v", err)
	}
	c.Upstreams["b"] = config.Upstream{Type: "embedded", Embedded: &config.Embedded{Path: "b.db"}}
	if _, err := vaultfile.Find(c, "", os.Getenv); !errors.Is(err, vaultfile.ErrConfig) || !strings.Contains(err.Error(), "a, b") {
		t.Errorf("two: got %v", err)
	}
	if f, err := vaultfile.Find(c, "b", os.Getenv); err != nil || f.Name != "b" {
		t.Errorf("one of two: got %+v (%v)", f, err)
	}
	if _, err := vaultfile.Find(c, "c", os.Getenv); !errors.Is(err, vaultfile.ErrConfig) {
		t.Errorf("none of two: got %v", err)
	}
}

// A key that two vaults have is not replaced for one of them: nothing would open the other.
func TestRekeyOfASharedKey(t *testing.T) {
	f := vault(t)
	key := config.Ref{Scheme: "file", Name: "master.key", Private: true}
	c := &config.Config{Dir: filepath.Dir(f.Path), Upstreams: map[string]config.Upstream{
		"local": {Embedded: &config.Embedded{Path: "vault.db", Key: key}},
		"other": {Embedded: &config.Embedded{Path: "other.db", Key: key}},
	}}
	other, err := vaultfile.Find(c, "other", os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	write(t, other, "web/C", "three")
	first, err := vaultfile.Find(c, "local", os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Rekey(t.Context(), now); !errors.Is(err, vaultfile.ErrConfig) || !strings.Contains(err.Error(), "other") {
		t.Errorf("got %v", err)
	}
	wants(t, other, "web/C", "three")
	wants(t, first, "web/A", "two")
}
