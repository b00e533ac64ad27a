package embedded_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

func versionKey(name string, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(name+"\x00"), n)
}

// Whoever can write the file but has no key must not make it answer with an entry that was not written there.
func TestMovedEntriesDoNotOpen(t *testing.T) {
	heads, versions := []byte("heads"), []byte("versions")
	for name, move := range map[string]func(t *testing.T, tx *bolt.Tx, other string) error{
		"version of another name": func(_ *testing.T, tx *bolt.Tx, _ string) error {
			b := tx.Bucket(versions)
			return b.Put(versionKey("web/A", 2), bytes.Clone(b.Get(versionKey("web/B", 2))))
		},
		"another version of the name": func(_ *testing.T, tx *bolt.Tx, _ string) error {
			b := tx.Bucket(versions)
			return b.Put(versionKey("web/A", 2), bytes.Clone(b.Get(versionKey("web/A", 1))))
		},
		"version of another vault": func(t *testing.T, tx *bolt.Tx, other string) error {
			return tx.Bucket(versions).Put(versionKey("web/A", 2), take(t, other, versions, versionKey("web/A", 2)))
		},
		"payload of another version": func(_ *testing.T, tx *bolt.Tx, _ string) error {
			// The values of both versions are of one length, and so are their parts.
			b := tx.Bucket(versions)
			mixed, one := bytes.Clone(b.Get(versionKey("web/A", 2))), b.Get(versionKey("web/A", 1))
			copy(mixed[len(mixed)-30:], one[len(one)-30:])
			return b.Put(versionKey("web/A", 2), mixed)
		},
		"metadata as payload": func(_ *testing.T, tx *bolt.Tx, _ string) error {
			b := tx.Bucket(versions)
			r := bytes.Clone(b.Get(versionKey("web/A", 2)))
			size := int(binary.BigEndian.Uint32(r[68:]))
			return b.Put(versionKey("web/A", 2), append(r[:72+size:72+size], r[72:72+size]...))
		},
		"changed time": func(_ *testing.T, tx *bolt.Tx, _ string) error {
			b := tx.Bucket(versions)
			r := bytes.Clone(b.Get(versionKey("web/A", 2)))
			r[7]++
			return b.Put(versionKey("web/A", 2), r)
		},
		"head of another name": func(_ *testing.T, tx *bolt.Tx, _ string) error {
			b := tx.Bucket(heads)
			return b.Put([]byte("web/A"), bytes.Clone(b.Get([]byte("web/B"))))
		},
		"head of another vault": func(t *testing.T, tx *bolt.Tx, other string) error {
			return tx.Bucket(heads).Put([]byte("web/A"), take(t, other, heads, []byte("web/A")))
		},
		"version removed": func(_ *testing.T, tx *bolt.Tx, _ string) error {
			return tx.Bucket(versions).Delete(versionKey("web/A", 2))
		},
		"version cut": func(_ *testing.T, tx *bolt.Tx, _ string) error {
			b := tx.Bucket(versions)
			r := bytes.Clone(b.Get(versionKey("web/A", 2)))
			return b.Put(versionKey("web/A", 2), r[:60])
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, other := vaultPath(t), vaultPath(t)
			for _, p := range []string{path, other} {
				v := openVault(t, p)
				for _, name := range []string{"web/A", "web/B"} {
					write(t, v, name, "one")
					write(t, v, name, "two")
				}
				closeVault(t, v)
			}
			inFile(t, path, func(tx *bolt.Tx) error { return move(t, tx, other) })
			v := openVault(t, path)
			s, err := v.Read(t.Context(), "web/A", secret.Current)
			if s != nil || !errors.Is(err, embedded.ErrCorrupt) || errors.Is(err, secret.ErrNotFound) {
				t.Errorf("got %v, %v, want ErrCorrupt", s, err)
			}
			wantValue(t, v, "web/B", secret.Current, "two")
		})
	}
}

func take(t *testing.T, path string, bucket, key []byte) (b []byte) {
	inFile(t, path, func(tx *bolt.Tx) error {
		b = bytes.Clone(tx.Bucket(bucket).Get(key))
		return nil
	})
	return b
}

// A head that is gone takes its numbers with it; they must not be given again.
func TestLostHeadIsNoNewSecret(t *testing.T) {
	path := vaultPath(t)
	v := openVault(t, path)
	write(t, v, "web/A", "one")
	closeVault(t, v)
	inFile(t, path, func(tx *bolt.Tx) error { return tx.Bucket([]byte("heads")).Delete([]byte("web/A")) })
	v = openVault(t, path)
	if n, _, err := v.Write(t.Context(), "web/A", secret.Write{Secret: value("two")}); !errors.Is(err, embedded.ErrCorrupt) {
		t.Errorf("got version %q, %v, want ErrCorrupt", n, err)
	}
	if got := write(t, v, "web/A-", "a name that begins alike"); got != "1" {
		t.Errorf("got version %q", got)
	}
}

func TestDamagedOutboxIsAnError(t *testing.T) {
	for _, bad := range []struct{ key, name string }{{"short", "web/A"}, {"12345678", ""}, {"12345678", "../x"}, {"12345678", strings.Repeat("x", 600)}} {
		path := vaultPath(t)
		closeVault(t, openVault(t, path))
		inFile(t, path, func(tx *bolt.Tx) error { return tx.Bucket([]byte("outbox")).Put([]byte(bad.key), []byte(bad.name)) })
		if changes, err := openVault(t, path).Pending(t.Context()); !errors.Is(err, embedded.ErrCorrupt) {
			t.Errorf("%q: got %v, %v, want ErrCorrupt", bad, changes, err)
		}
	}
}
