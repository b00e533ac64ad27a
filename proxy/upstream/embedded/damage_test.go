package embedded_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// fillOutbox adds n changes in one transaction.
func fillOutbox(t *testing.T, path string, n int) {
	inFile(t, path, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("outbox"))
		for range n {
			id, err := b.NextSequence()
			if err != nil {
				return err
			}
			if err := b.Put(binary.BigEndian.AppendUint64(nil, id), []byte("web/A")); err != nil {
				return err
			}
		}
		return nil
	})
}

// bigName makes names long enough that a small vault has branch pages.
func bigName(i int) string { return fmt.Sprintf("n%02d/%s", i, strings.Repeat("x", 120)) }

// sampleVault makes a file with branches, overflow pages, free pages and inline buckets, whose values say their names.
func sampleVault(t testing.TB, names int) []byte {
	t.Helper()
	path := vaultPath(t)
	v := openVault(t, path)
	for round := range 2 {
		for i := range names {
			write(t, v, bigName(i), fmt.Sprintf("%s#%d", bigName(i), round+1))
		}
	}
	write(t, v, "large", strings.Repeat("large", 2000))
	closeVault(t, v)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// exercise opens a damaged file and uses all of it. Whatever is answered must be right, and nothing may panic. It
// reports whether the file opened.
func exercise(t *testing.T, path string, names int) bool {
	t.Helper()
	v, err := embedded.Open(embedded.Config{Path: path, Key: masterKey(1)})
	if err != nil {
		for _, ok := range []error{embedded.ErrCorrupt, embedded.ErrForeign, embedded.ErrNewerFormat} {
			if errors.Is(err, ok) {
				return false
			}
		}
		t.Fatalf("Open: an error of no known kind: %v", err)
	}
	defer func() { _ = v.Close() }()
	for i := range names {
		for _, version := range []secret.Version{"1", "2"} {
			s, err := v.Read(t.Context(), bigName(i), version)
			if err == nil && string(s.Value.Reveal()) != bigName(i)+"#"+string(version) {
				t.Fatalf("%s at %s: a damaged file answers with a wrong value", bigName(i), version)
			}
		}
	}
	_, _ = v.List(t.Context(), "", "", 1000)
	_, _ = v.Pending(t.Context())
	n, _, err := v.Write(t.Context(), bigName(0), secret.Write{Secret: value("new")})
	if err == nil && (n == "1" || n == "2") {
		// With its newest meta page broken, a file is that of the transaction before, which wrote "large".
		t.Fatalf("a damaged file gives number %q again", n)
	}
	_ = v.Settle(t.Context(), 1)
	_ = v.Delete(t.Context(), bigName(1))
	return true
}

func TestTruncatedFileNeverPanics(t *testing.T) {
	file := sampleVault(t, 40)
	path := vaultPath(t)
	sizes := []int{0, 1, 15, 16, 17, 20, 79, 80, 81, 511, 512, 1023, 1024}
	for size := 4096; size < len(file); size += 4096 {
		sizes = append(sizes, size-1, size, size+1, size+2048)
	}
	for _, size := range sizes {
		if size >= len(file) {
			continue
		}
		if err := os.WriteFile(path, file[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		// The end of the file may be room that no page uses yet.
		if opened := exercise(t, path, 40); opened && size < 4*4096 {
			t.Errorf("a file cut at %d of %d bytes opens", size, len(file))
		}
	}
}

func TestFlippedBytesNeverPanic(t *testing.T) {
	const names = 30
	file := sampleVault(t, names)
	path := vaultPath(t)
	refused := 0
	flip := func(at int, mask byte) {
		changed := bytes.Clone(file)
		changed[at] ^= mask
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if !exercise(t, path, names) {
			refused++
		}
	}
	step, headStep := 1009, 9
	if testing.Short() {
		step, headStep = 10_007, 31
	}
	for at := 0; at < len(file); at += step {
		flip(at, 1<<(at%8))
	}
	// Where pages begin stands what steers the storage library.
	for page := 0; page < len(file); page += 4096 {
		for at := page + page/4096%headStep; at < min(page+64, len(file)); at += headStep {
			flip(at, 1<<(at%3))
		}
	}
	if refused == 0 {
		t.Error("no flipped byte was ever noticed at Open")
	}
}

// Losing the end of the file under a running vault is a memory fault at the next read of it, not the end of the process.
func TestFileCutWhileOpen(t *testing.T) {
	path := vaultPath(t)
	v, err := embedded.Open(embedded.Config{Path: path, Key: masterKey(1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	write(t, v, "web/A", strings.Repeat("long", 20_000))
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Read(t.Context(), "web/A", secret.Current); !errors.Is(err, embedded.ErrCorrupt) {
		t.Errorf("reading: got %v, want ErrCorrupt", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 { // a write that broke must not block the next one
		if _, _, err := v.Write(ctx, "web/B", secret.Write{Secret: value("x")}); !errors.Is(err, embedded.ErrCorrupt) {
			t.Errorf("writing: got %v, want ErrCorrupt", err)
		}
	}
	if _, err := v.List(t.Context(), "", "", 10); !errors.Is(err, embedded.ErrCorrupt) {
		t.Errorf("listing: got %v, want ErrCorrupt", err)
	}
	if err := v.Close(); !errors.Is(err, embedded.ErrCorrupt) {
		t.Errorf("closing: got %v, want ErrCorrupt", err)
	}
}
