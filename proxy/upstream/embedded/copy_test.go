package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// filled is a vault with versions, fields, metadata, a deleted secret and changes, some of them settled.
func filled(t *testing.T) (v *embedded.Vault, path string) {
	t.Helper()
	path = vaultPath(t)
	v = openVault(t, path)
	for i := range 4 {
		write(t, v, "web/A", fmt.Sprintf("a%d", i+1))
	}
	_, _, err := v.Write(t.Context(), "web/F", secret.Write{Secret: &secret.Secret{
		Fields:   []secret.Field{{Name: "x", Value: secret.NewValue([]byte("one"))}},
		Metadata: map[string]string{"owner": "payments"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, v, "web/GONE", "gone")
	if err := v.Delete(t.Context(), "web/GONE"); err != nil {
		t.Fatal(err)
	}
	if err := v.Settle(t.Context(), 7, 1); err != nil {
		t.Fatal(err)
	}
	return v, path
}

var filledContents = embedded.Contents{Secrets: 2, Deleted: 1, Versions: 5, Pending: 5}

func verify(t *testing.T, c embedded.Config) embedded.Contents {
	t.Helper()
	c.ReadOnly = true
	v := openWith(t, c)
	found, err := v.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeVault(t, v)
	return found
}

func TestCopyUnderAnotherKey(t *testing.T) {
	v, path := filled(t)
	to := filepath.Join(t.TempDir(), "copy.db")
	found, err := v.CopyTo(t.Context(), to, masterKey(2))
	if err != nil || found != filledContents {
		t.Fatalf("got %+v (%v), want %+v", found, err, filledContents)
	}
	if got := verify(t, embedded.Config{Path: to, Key: masterKey(2)}); got != filledContents {
		t.Errorf("the copy holds %+v, want %+v", got, filledContents)
	}
	if info, err := os.Stat(to); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v), want 0600", info.Mode(), err)
	}
	_ = wantRefused(t, embedded.Config{Path: to, Key: masterKey(1)}, embedded.ErrWrongKey)
	closeVault(t, v)

	c := openWith(t, embedded.Config{Path: to, Key: masterKey(2)})
	for n := 1; n <= 4; n++ {
		wantValue(t, c, "web/A", secret.Version(fmt.Sprint(n)), fmt.Sprintf("a%d", n))
	}
	s, err := c.Read(t.Context(), "web/F", secret.Current)
	if err != nil || string(s.Fields[0].Value.Reveal()) != "one" || s.Metadata["owner"] != "payments" {
		t.Errorf("fields: got %v (%v)", s, err)
	}
	if n := write(t, c, "web/GONE", "again"); n != "2" {
		t.Errorf("a deleted secret goes on with version %s, want 2", n)
	}
	changes, err := c.Pending(t.Context())
	if err != nil || len(changes) != 6 || changes[5].ID != 8 {
		t.Errorf("changes: got %v (%v), want five from before and number 8", changes, err)
	}
	wantValue(t, openVault(t, path), "web/A", secret.Current, "a4") // the original is as it was
}

// What was wrapped under the old key is nowhere in the copy: not even in pages that are free.
func TestCopyKeepsNothingOfTheOldKey(t *testing.T) {
	v, path := filled(t)
	to := filepath.Join(t.TempDir(), "copy.db")
	if _, err := v.CopyTo(t.Context(), to, masterKey(2)); err != nil {
		t.Fatal(err)
	}
	closeVault(t, v)
	copied, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	inFile(t, path, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("versions")).ForEach(func(k, record []byte) error {
			if bytes.Contains(copied, record[8:8+60]) {
				t.Errorf("the data key of %q is in the copy as it was", k)
			}
			if !bytes.Contains(copied, record[8+60:]) {
				t.Errorf("what %q sealed is not in the copy", k)
			}
			return nil
		})
	})
}

func TestCopyRefuses(t *testing.T) {
	v, _ := filled(t)
	to := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(to, []byte("something"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := v.CopyTo(t.Context(), to, masterKey(2)); !errors.Is(err, os.ErrExist) {
		t.Errorf("onto a file: got %v", err)
	}
	if got, _ := os.ReadFile(to); string(got) != "something" {
		t.Error("the file was changed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := to + "2"
	if _, err := v.CopyTo(ctx, other, masterKey(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	if _, err := v.CopyTo(t.Context(), other, masterKey(2)[1:]); err == nil {
		t.Error("a short key is taken")
	}
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a copy stays: %v", err)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	for name, damage := range map[string]func(tx *bolt.Tx) error{
		"a version is missing": func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("versions")).Delete([]byte("web/A\x00\x00\x00\x00\x00\x00\x00\x00\x02"))
		},
		"a version too many": func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("versions")).Put([]byte("web/B\x00\x00\x00\x00\x00\x00\x00\x00\x01"), []byte("x"))
		},
		"a head is missing": func(tx *bolt.Tx) error { return tx.Bucket([]byte("heads")).Delete([]byte("web/A")) },
		"the head of another": func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("heads")).Put([]byte("web/A"), tx.Bucket([]byte("heads")).Get([]byte("web/F")))
		},
		"a change of no secret": func(tx *bolt.Tx) error { return tx.Bucket([]byte("outbox")).Put([]byte("12345678"), []byte("a//b")) },
		"a payload was altered": func(tx *bolt.Tx) error {
			key := []byte("web/A\x00\x00\x00\x00\x00\x00\x00\x00\x01")
			record := bytes.Clone(tx.Bucket([]byte("versions")).Get(key))
			record[len(record)-1] ^= 1
			return tx.Bucket([]byte("versions")).Put(key, record)
		},
		"metadata was altered": func(tx *bolt.Tx) error {
			key := []byte("web/F\x00\x00\x00\x00\x00\x00\x00\x00\x01")
			record := bytes.Clone(tx.Bucket([]byte("versions")).Get(key))
			record[8+60+4] ^= 1
			return tx.Bucket([]byte("versions")).Put(key, record)
		},
	} {
		t.Run(name, func(t *testing.T) {
			v, path := filled(t)
			closeVault(t, v)
			inFile(t, path, damage)
			v = openVault(t, path)
			if found, err := v.Verify(t.Context()); !errors.Is(err, embedded.ErrCorrupt) {
				t.Errorf("got %+v (%v), want ErrCorrupt", found, err)
			}
		})
	}
}

// A snapshot under writes is a vault of one moment: each name has all that was acknowledged before it began.
func TestSnapshotUnderWrites(t *testing.T) {
	path := vaultPath(t)
	v := openVault(t, path)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer func() { close(stop); wg.Wait() }()
	begun := make(chan struct{}, 1)
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			write(t, v, fmt.Sprintf("n%d/K", i%20), strings.Repeat("x", 9000))
			if i == 60 {
				begun <- struct{}{}
			}
		}
	})
	<-begun
	for round := range 5 {
		var b bytes.Buffer
		var size int64
		if err := v.Snapshot(t.Context(), func(n int64) (io.Writer, error) { size = n; return &b, nil }); err != nil {
			t.Fatal(err)
		}
		if int64(b.Len()) != size {
			t.Errorf("%d bytes were told of, %d came", size, b.Len())
		}
		to := filepath.Join(t.TempDir(), fmt.Sprint(round))
		if err := os.WriteFile(to, b.Bytes(), 0o400); err != nil {
			t.Fatal(err)
		}
		if found := verify(t, embedded.Config{Path: to, Key: masterKey(1)}); found.Secrets != 20 || found.Versions < 60 {
			t.Errorf("the snapshot holds %+v", found)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := v.Snapshot(ctx, func(int64) (io.Writer, error) { cancel(); return io.Discard, nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	v, path := filled(t)
	if _, err := embedded.Open(embedded.Config{Path: path, Key: masterKey(1), ReadOnly: true}); !errors.Is(err, embedded.ErrLocked) {
		t.Errorf("beside a writer: got %v, want ErrLocked", err)
	}
	closeVault(t, v)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := embedded.Config{Path: path, Key: masterKey(1), ReadOnly: true}
	first, second := openWith(t, c), openWith(t, c) // readers share
	wantValue(t, first, "web/A", secret.Current, "a4")
	wantValue(t, second, "web/A", secret.Previous, "a3")
	if _, _, err := first.Write(t.Context(), "web/A", secret.Write{Secret: value("x")}); err == nil {
		t.Error("written")
	}
	if _, err := embedded.Lock(path); !errors.Is(err, embedded.ErrLocked) {
		t.Errorf("locking under readers: got %v", err)
	}
	closeVault(t, first)
	closeVault(t, second)
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
	none := embedded.Config{Path: path + ".none", Key: masterKey(1), ReadOnly: true}
	if _, err := embedded.Open(none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: got %v", err)
	}
	if _, err := os.Stat(none.Path); err == nil {
		t.Error("a reader made a vault")
	}
}

// Whoever waits for the lock of a file that is replaced meanwhile opens the one that took its place.
func TestOpenFollowsAReplacedFile(t *testing.T) {
	v, path := filled(t)
	if _, err := v.CopyTo(t.Context(), path+".2", masterKey(1)); err != nil {
		t.Fatal(err)
	}
	opened := make(chan *embedded.Vault)
	go func() {
		defer close(opened)
		for { // a slow machine may let the wait for the lock end
			v, err := embedded.Open(embedded.Config{Path: path, Key: masterKey(1)})
			if err == nil {
				opened <- v
				return
			}
			if !errors.Is(err, embedded.ErrLocked) {
				t.Error(err)
				return
			}
		}
	}()
	for opened := 0; opened < 2; { // the vault's own, and that of whoever waits for its lock
		open, err := filepath.Glob("/proc/self/fd/*")
		if err != nil || len(open) == 0 {
			break // not to be had on this system
		}
		opened = 0
		for _, fd := range open {
			if file, err := os.Readlink(fd); err == nil && file == path {
				opened++
			}
		}
	}
	if err := os.Rename(path+".2", path); err != nil {
		t.Fatal(err)
	}
	closeVault(t, v)
	w, ok := <-opened
	if !ok {
		return
	}
	write(t, w, "web/A", "a5")
	closeVault(t, w)
	wantValue(t, openVault(t, path), "web/A", secret.Current, "a5")
}
