package boltfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/internal/boltfile"
)

// sample makes a file with branches, overflow pages, free pages and inline buckets.
func sample(t testing.TB, names int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: 4096, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		for i := range names {
			err = errors.Join(err, db.Update(func(tx *bolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists([]byte("wide"))
				if err != nil {
					return err
				}
				inner, err := tx.CreateBucketIfNotExists([]byte("small"))
				if err != nil {
					return err
				}
				name := fmt.Appendf(nil, "n%02d/%s", i, strings.Repeat("x", 120))
				return errors.Join(b.Put(name, bytes.Repeat(name, 2+round)), inner.Put([]byte("last"), name))
			}))
		}
	}
	err = errors.Join(err, db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("wide")).Put([]byte("large"), make([]byte, 10_000))
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCheckSeesEachDamage breaks one rule of the data file at a time, on every page where that can be done.
func TestCheckSeesEachDamage(t *testing.T) {
	order := binary.NativeEndian
	file := sample(t, 40)
	refused := func(change func(file []byte)) bool {
		changed := bytes.Clone(file)
		change(changed)
		err := boltfile.Check(bytes.NewReader(changed), int64(len(changed)))
		if err != nil && !errors.Is(err, boltfile.ErrDamaged) {
			t.Errorf("got %v, want ErrDamaged", err)
		}
		return err != nil
	}
	// A page in use is one whose number matters.
	var used []int
	leaves := map[int]bool{}
	for at := 2 * 4096; at < len(file); at += 4096 {
		if refused(func(file []byte) { file[at]++ }) {
			used = append(used, at)
			leaves[at] = order.Uint16(file[at+8:]) == 0x02
		}
	}
	if len(used) < 10 {
		t.Fatalf("%d pages are in use", len(used))
	}
	ordered, values, freed := 0, 0, 0
	for _, at := range used {
		count := order.Uint16(file[at+10:])
		switch {
		case leaves[at] && count > 0:
			values++
			if !refused(func(file []byte) { order.PutUint32(file[at+16+12:], 1<<20) }) {
				t.Errorf("page %d: a value beyond the page's end is not seen", at/4096)
			}
			if count < 2 {
				break
			}
			ordered++
			key := at + 16 + int(order.Uint32(file[at+16+4:]))
			if !refused(func(file []byte) { file[key] = 0xff }) {
				t.Errorf("page %d: keys out of order are not seen", at/4096)
			}
		case order.Uint16(file[at+8:]) == 0x10 && count > 0:
			freed++
			// The lowest page, so that the list stays in order.
			if !refused(func(file []byte) { order.PutUint64(file[at+16:], uint64(used[0]/4096)) }) {
				t.Errorf("page %d is in use and free, which is not seen", used[0]/4096)
			}
		}
	}
	if ordered == 0 || values == 0 || freed != 1 {
		t.Errorf("the sample has %d leaves, %d of several keys, %d lists of free pages", values, ordered, freed)
	}
	high := int64(max(order.Uint64(file[16+40:]), order.Uint64(file[4096+16+40:]))) * 4096
	if err := boltfile.Check(bytes.NewReader(file), high-1); !errors.Is(err, boltfile.ErrDamaged) {
		t.Errorf("a file that lacks its last byte: got %v, want ErrDamaged", err)
	}
	if err := boltfile.Check(bytes.NewReader(file), high); err != nil {
		t.Errorf("a file that ends with its last page: %v", err)
	}
}

// A page that names itself as its child would make the storage library recurse until the process dies.
func TestCyclicPagesAreRefused(t *testing.T) {
	file := sample(t, 40)
	cycles := 0
	for at := 2 * 4096; at < len(file); at += 4096 {
		if flags := binary.NativeEndian.Uint16(file[at+8:]); flags != 0x01 {
			continue
		}
		changed := bytes.Clone(file)
		copy(changed[at+16+8:at+16+16], changed[at:at+8])
		err := boltfile.Check(bytes.NewReader(changed), int64(len(changed)))
		if err != nil && !errors.Is(err, boltfile.ErrDamaged) {
			t.Errorf("got %v, want ErrDamaged", err)
		}
		if err != nil {
			cycles++
		}
	}
	if cycles == 0 {
		t.Error("the sample has no branch page in use")
	}
	if err := boltfile.Check(bytes.NewReader(file), int64(len(file))); err != nil {
		t.Errorf("the sample itself: %v", err)
	}
}

// FuzzCheck gives any bytes, on top of a sound file, to the check that stands before the memory map.
func FuzzCheck(f *testing.F) {
	file := sample(f, 30)
	f.Add(uint32(8*4096), []byte{1, 0, 0, 0})
	f.Add(uint32(16), []byte{0xed})
	f.Add(uint32(3*4096+10), []byte{0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		changed := bytes.Clone(file)
		copy(changed[int(at)%len(changed):], patch)
		err := boltfile.Check(bytes.NewReader(changed), int64(len(changed)))
		if err != nil && !errors.Is(err, boltfile.ErrDamaged) && !errors.Is(err, boltfile.ErrForeign) {
			t.Errorf("got %v, want ErrDamaged or ErrForeign", err)
		}
	})
}
