package boltstore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/state"
	"github.com/keyhole-edge/keyhole/proxy/state/boltstore"
	"github.com/keyhole-edge/keyhole/proxy/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	statetest.Run(t, statetest.Suite{Durable: true, Open: func(place string, wall func() time.Time) (state.Store, error) {
		return boltstore.Open(boltstore.Config{Path: filepath.Join(place, "state.db"), Wall: wall})
	}})
}

// filled makes a state file with n facts and closes it.
func filled(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := boltstore.Open(boltstore.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		fact := state.Fact{ID: string(rune('a' + i)), Kind: state.Revocation, Subject: "subject:x", Payload: make([]byte, 20_000)}
		if _, err := s.Append(t.Context(), fact); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileIsPrivateAndAlone(t *testing.T) {
	path := filled(t, 1)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := boltstore.Open(boltstore.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), os.FileMode(0o600); got != want {
		t.Errorf("mode = %v, want %v", got, want)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the file: %v, %v; want nothing", entries, err)
	}
}

func TestLocked(t *testing.T) {
	path := filled(t, 1)
	first, err := boltstore.Open(boltstore.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.Open(boltstore.Config{Path: path}); !errors.Is(err, boltstore.ErrLocked) {
		t.Errorf("opened twice: %v, want %v", err, boltstore.ErrLocked)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := boltstore.Open(boltstore.Config{Path: path})
	if err != nil {
		t.Fatalf("after the first let go: %v", err)
	}
	again.Close()
}

// Damaged kinds, counts and places of pages and their elements crash nothing: the file is refused, or a read or write of
// it is, or the damage lies where nothing is.
func TestDamageDoesNotCrash(t *testing.T) {
	whole, err := os.ReadFile(filled(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state.db") // one path, so that a lock which outlives a refusal is noticed
	refused := 0
	for page := range min(len(whole)/4096, 20) {
		for _, at := range []int{8, 20, 24, 40} {
			data := append([]byte(nil), whole...)
			for i := range 4 {
				data[page*4096+at+i] ^= 0xff
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := boltstore.Open(boltstore.Config{Path: path})
			if err == nil {
				_, _, err = s.Since(t.Context(), 0)
				if err == nil {
					_, err = s.Append(t.Context(), state.Fact{ID: "new", Kind: state.Revocation, Subject: "subject:y"})
				}
				s.Close()
			}
			if err != nil {
				refused++
				if !errors.Is(err, state.ErrUnavailable) && !errors.Is(err, boltstore.ErrForeign) {
					t.Errorf("byte %d of page %d damaged: %v, want %v", at, page, err, boltstore.ErrCorrupt)
				}
			}
		}
	}
	if refused == 0 {
		t.Error("no damage was ever noticed")
	}
	t.Logf("%d damaged files refused", refused)
}

// A page that names itself as its child would make bbolt recurse until the process dies, which nothing catches.
func TestCyclicPagesAreRefused(t *testing.T) {
	const branch = 0x01
	path := filled(t, 12)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cycles := 0
	for at := 2 * 4096; at < len(whole); at += 4096 {
		if binary.NativeEndian.Uint16(whole[at+8:]) != branch {
			continue
		}
		data := bytes.Clone(whole)
		copy(data[at+16+8:at+16+16], data[at:at+8])
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := boltstore.Open(boltstore.Config{Path: path})
		switch {
		case err == nil:
			_, _, err = s.Since(t.Context(), 0) // the page is not in use any more
			if err := errors.Join(err, s.Close()); err != nil {
				t.Error(err)
			}
		case errors.Is(err, boltstore.ErrCorrupt):
			cycles++
		default:
			t.Errorf("got %v, want ErrCorrupt", err)
		}
	}
	if cycles == 0 {
		t.Error("the sample has no branch page in use")
	}
}

// What is refused is refused before it can crash the process or be taken for a new file, and is left as it was.
func TestRefusedFiles(t *testing.T) {
	whole, err := os.ReadFile(filled(t, 8))
	if err != nil {
		t.Fatal(err)
	}
	otherBolt := filepath.Join(t.TempDir(), "other.db")
	db, err := bolt.Open(otherBolt, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(otherBolt)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), whole...)
	for i := 4 * 4096; i < len(flipped); i++ { // every page but the first four: meta pages and the empty file's own
		flipped[i] ^= 0x5a
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"empty":               {nil, boltstore.ErrCorrupt},
		"cut in the header":   {whole[:100], boltstore.ErrCorrupt},
		"cut to two pages":    {whole[:2*4096], boltstore.ErrCorrupt},
		"cut to a half":       {whole[:len(whole)/4096/2*4096], boltstore.ErrCorrupt},
		"text":                {[]byte("revocations: none\n"), boltstore.ErrForeign},
		"large and foreign":   {make([]byte, 1<<20), boltstore.ErrForeign},
		"another bolt file":   {other, boltstore.ErrForeign},
		"damaged in the body": {flipped, boltstore.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := boltstore.Open(boltstore.Config{Path: path})
			if !errors.Is(err, c.want) {
				t.Errorf("Open: %v, want %v", err, c.want)
			}
			if err == nil {
				s.Close()
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != string(c.data) {
				t.Errorf("the file was changed: %d bytes, %v; it had %d", len(got), err, len(c.data))
			}
		})
	}
}

func TestRefusedPlaces(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{"no path": "", "a directory": dir, "no such directory": filepath.Join(dir, "no", "state.db")} {
		if s, err := boltstore.Open(boltstore.Config{Path: path}); err == nil {
			s.Close()
			t.Errorf("%s was accepted", name)
		}
	}
}

// Facts that come and go must not make the file grow without bound.
func TestFileDoesNotGrowForEver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, err := boltstore.Open(boltstore.Config{Path: path, Wall: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	var early int64
	for i := range 300 {
		fact := state.Fact{ID: now.String(), Kind: state.Invalidation, Subject: "a/b", ExpiresAt: now.Add(time.Minute), Payload: make([]byte, 20_000)}
		if _, err := s.Append(t.Context(), fact); err != nil {
			t.Fatal(err)
		}
		now = now.Add(10 * time.Second)
		if i == 50 {
			early = size()
		}
	}
	if got := size(); got > early {
		t.Errorf("the file grew from %d to %d bytes though six facts are held at any time", early, got)
	}
}

func BenchmarkSinceAtTheEnd(b *testing.B) {
	s, err := boltstore.Open(boltstore.Config{Path: filepath.Join(b.TempDir(), "state.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	seq, err := s.Append(b.Context(), state.Fact{ID: "a", Kind: state.Revocation, Subject: "subject:x"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Since(b.Context(), seq); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	s, err := boltstore.Open(boltstore.Config{Path: filepath.Join(b.TempDir(), "state.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	id := 0
	for b.Loop() {
		id++
		fact := state.Fact{ID: time.Duration(id).String(), Kind: state.Invalidation, Subject: "a/b", ExpiresAt: time.Now().Add(time.Hour)}
		if _, err := s.Append(b.Context(), fact); err != nil {
			b.Fatal(err)
		}
	}
}
