package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

func wantNotFound(t *testing.T, v *embedded.Vault, name string, version secret.Version) {
	t.Helper()
	if s, err := v.Read(t.Context(), name, version); !errors.Is(err, secret.ErrNotFound) || s != nil {
		t.Errorf("%s at %s: got %v, %v, want ErrNotFound", name, version, s, err)
	}
}

func TestVersionsCountFromOneForEachName(t *testing.T) {
	v := openVault(t, vaultPath(t))
	for i, want := range []secret.Version{"1", "2", "3"} {
		if got := write(t, v, "web/A", fmt.Sprint("a", i+1)); got != want {
			t.Errorf("version %q, want %q", got, want)
		}
	}
	if got := write(t, v, "web/B", "b1"); got != "1" {
		t.Errorf("the first version of another name is %q", got)
	}
	wantValue(t, v, "web/A", secret.Current, "a3")
	wantValue(t, v, "web/A", secret.Previous, "a2")
	wantValue(t, v, "web/A", "1", "a1")
	wantNotFound(t, v, "web/B", secret.Previous)
	for _, odd := range []secret.Version{"0", "4", "01", "+1", "1.0", "0x1", " 1", "18446744073709551616", "Current"} {
		wantNotFound(t, v, "web/A", odd)
	}
}

func TestVersionsAreOrdered(t *testing.T) {
	v := openVault(t, vaultPath(t))
	for _, tt := range []struct {
		a, b secret.Version
		want int
	}{{"9", "10", -1}, {"10", "9", 1}, {"7", "7", 0}, {"7", "x", 0}, {"", "1", 0}} {
		if got := v.CompareVersions(tt.a, tt.b); got != tt.want {
			t.Errorf("CompareVersions(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestOldVersionsArePruned(t *testing.T) {
	path := vaultPath(t)
	v := openVault(t, path)
	const n = embedded.KeepVersions + 5
	for i := range n {
		write(t, v, "web/A", fmt.Sprint("value ", i+1))
	}
	write(t, v, "web/A0", "a neighbour")
	closeVault(t, v)
	v = openVault(t, path)
	for i := 1; i <= n; i++ {
		if version := secret.Version(strconv.Itoa(i)); i <= 5 {
			wantNotFound(t, v, "web/A", version)
		} else {
			wantValue(t, v, "web/A", version, fmt.Sprint("value ", i))
		}
	}
	wantValue(t, v, "web/A0", "1", "a neighbour")
}

func TestDeletedNumbersStayUsed(t *testing.T) {
	path := vaultPath(t)
	v := openVault(t, path)
	write(t, v, "web/A", "1")
	write(t, v, "web/A", "2")
	write(t, v, "web/A/below", "stays")
	for range 2 { // deleting again is no error, and no change to announce
		if err := v.Delete(t.Context(), "web/A"); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Delete(t.Context(), "web/never"); err != nil {
		t.Fatal(err)
	}
	closeVault(t, v)
	v = openVault(t, path)
	for _, version := range []secret.Version{secret.Current, secret.Previous, "1", "2"} {
		wantNotFound(t, v, "web/A", version)
	}
	items, err := v.List(t.Context(), "", "", 10)
	if err != nil || len(items) != 1 || items[0].Name != "web/A/below" {
		t.Errorf("after a delete, the list is %v (%v)", items, err)
	}
	changes, err := v.Pending(t.Context())
	if err != nil || len(changes) != 4 || changes[3].Name != "web/A" {
		t.Errorf("pending are %v (%v), want three writes and one delete", changes, err)
	}
	if _, _, err := v.Write(t.Context(), "web/A", secret.Write{Secret: value("x"), IfVersion: "2"}); !errors.Is(err, secret.ErrConflict) {
		t.Errorf("writing over a deleted version: got %v, want ErrConflict", err)
	}
	version, created, err := v.Write(t.Context(), "web/A", secret.Write{Secret: value("3"), IfVersion: "0"})
	if err != nil || version != "3" || !created {
		t.Errorf("after a delete: version %q, created %t (%v), want a new secret at 3", version, created, err)
	}
	wantNotFound(t, v, "web/A", secret.Previous)
	wantNotFound(t, v, "web/A", "2")
	if got := wantValue(t, v, "web/A", "3", "3"); len(got.Metadata) > 0 {
		t.Errorf("metadata %v came back from the dead", got.Metadata)
	}
}

func TestCreatedAtNeverGoesBack(t *testing.T) {
	c := &clock{time.Date(2026, 11, 21, 10, 0, 0, 123_456_789, time.FixedZone("", 3600))}
	v := openWith(t, embedded.Config{Path: vaultPath(t), Key: masterKey(1), Wall: c.wall})
	start := time.Date(2026, 11, 21, 9, 0, 0, 123_000_000, time.UTC)
	for i, tt := range []struct {
		step time.Duration
		want time.Time
	}{
		{0, start},
		{0, start.Add(time.Millisecond)},
		{-24 * time.Hour, start.Add(2 * time.Millisecond)},
		{48 * time.Hour, start.Add(24 * time.Hour)},
	} {
		c.now = c.now.Add(tt.step)
		write(t, v, "web/A", "value")
		s := wantValue(t, v, "web/A", secret.Current, "value")
		if s.CreatedAt != tt.want {
			t.Errorf("version %d is from %v, want %v", i+1, s.CreatedAt, tt.want)
		}
	}
	if err := v.Delete(t.Context(), "web/A"); err != nil {
		t.Fatal(err)
	}
	c.now = start
	write(t, v, "web/A", "again")
	if got, want := wantValue(t, v, "web/A", "5", "again").CreatedAt, start.Add(24*time.Hour+2*time.Millisecond); got != want {
		t.Errorf("after a delete, version 5 is from %v, want %v", got, want)
	}
}

func TestListTellsVersionTimeAndMetadata(t *testing.T) {
	c := &clock{time.UnixMilli(1000).UTC()}
	v := openWith(t, embedded.Config{Path: vaultPath(t), Key: masterKey(1), Wall: c.wall})
	write(t, v, "web/A", "one")
	s := value("two")
	s.Metadata = map[string]string{"owner": "payments"}
	c.now = time.UnixMilli(2000)
	if _, _, err := v.Write(t.Context(), "web/A", secret.Write{Secret: s}); err != nil {
		t.Fatal(err)
	}
	items, err := v.List(t.Context(), "web", "", 10)
	if err != nil || len(items) != 1 {
		t.Fatalf("list: %v (%v)", items, err)
	}
	got := items[0]
	if got.Name != "web/A" || got.Version != "2" || got.UpdatedAt != time.UnixMilli(2000).UTC() || got.Metadata["owner"] != "payments" {
		t.Errorf("item %+v", got)
	}
	for _, limit := range []int{0, -1} {
		if items, err := v.List(t.Context(), "", "", limit); err != nil || len(items) != 0 {
			t.Errorf("limit %d: %v (%v)", limit, items, err)
		}
	}
}

func TestNamesArePaths(t *testing.T) {
	v := openVault(t, vaultPath(t))
	for _, name := range []string{"", "/", "a/", "/a", "a//b", "..", "a/../b", "a b", "a\x00b", "é", string(slices.Repeat([]byte("a/"), 256)) + "a"} {
		if _, _, err := v.Write(t.Context(), name, secret.Write{Secret: value("x")}); !errors.Is(err, secret.ErrInvalidPath) {
			t.Errorf("writing %q: got %v, want ErrInvalidPath", name, err)
		}
		if _, err := v.Read(t.Context(), name, secret.Current); !errors.Is(err, secret.ErrInvalidPath) || !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("reading %q: got %v, want ErrNotFound and ErrInvalidPath", name, err)
		}
		if err := v.Delete(t.Context(), name); !errors.Is(err, secret.ErrInvalidPath) {
			t.Errorf("deleting %q: got %v, want ErrInvalidPath", name, err)
		}
		if _, err := v.List(t.Context(), name, "", 1); name != "" && !errors.Is(err, secret.ErrInvalidPath) {
			t.Errorf("listing %q: got %v, want ErrInvalidPath", name, err)
		}
	}
	if _, _, err := v.Write(t.Context(), "a", secret.Write{}); !errors.Is(err, secret.ErrInvalidSecret) {
		t.Errorf("writing nothing: got %v, want ErrInvalidSecret", err)
	}
}

// The outbox is part of the file: pending changes are there after a restart, and answers are bounded.
func TestPendingSurvivesAndIsBounded(t *testing.T) {
	path := vaultPath(t)
	v := openVault(t, path)
	write(t, v, "web/A", "1")
	write(t, v, "web/B", "1")
	closeVault(t, v)
	v = openVault(t, path)
	changes, err := v.Pending(t.Context())
	if want := []secret.Change{{ID: 1, Name: "web/A"}, {ID: 2, Name: "web/B"}}; err != nil || !slices.Equal(changes, want) {
		t.Fatalf("pending are %v (%v), want %v", changes, err, want)
	}
	if err := v.Settle(t.Context(), 1, 2); err != nil {
		t.Fatal(err)
	}
	closeVault(t, v)
	fillOutbox(t, path, embedded.MaxPending+3)
	v = openVault(t, path)
	total := 0
	for total <= embedded.MaxPending+3 {
		changes, err := v.Pending(t.Context())
		if err != nil || len(changes) > embedded.MaxPending {
			t.Fatalf("%d changes in one answer (%v)", len(changes), err)
		}
		if len(changes) == 0 {
			break
		}
		total += len(changes)
		var ids []uint64
		for _, c := range changes {
			ids = append(ids, c.ID)
		}
		if err := v.Settle(t.Context(), ids...); err != nil {
			t.Fatal(err)
		}
	}
	if total != embedded.MaxPending+3 {
		t.Errorf("drained %d changes, want %d", total, embedded.MaxPending+3)
	}
}

// gate is a random source that lets a test hold a write in the middle of its transaction.
type gate struct {
	entered, leave chan struct{}
	once           sync.Once
}

func (g *gate) Read(b []byte) (int, error) {
	g.once.Do(func() {
		close(g.entered)
		<-g.leave
	})
	for i := range b {
		b[i] = byte(i)
	}
	return len(b), nil
}

// leaving is a context that ends when somebody begins to wait for it.
type leaving struct {
	context.Context
	cancel func()
}

func (l leaving) Done() <-chan struct{} { l.cancel(); return l.Context.Done() }

func TestWaitingForOnesTurnEndsWithTheContext(t *testing.T) {
	path := vaultPath(t)
	closeVault(t, openVault(t, path))
	g := &gate{entered: make(chan struct{}), leave: make(chan struct{})}
	v := openWith(t, embedded.Config{Path: path, Key: masterKey(1), Random: g})
	done := make(chan error)
	go func() {
		_, _, err := v.Write(t.Context(), "web/A", secret.Write{Secret: value("slow")})
		done <- err
	}()
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := v.Write(leaving{ctx, cancel}, "web/B", secret.Write{Secret: value("x")})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a waiting write: got %v, want context.Canceled", err)
	}
	wantNotFound(t, v, "web/A", secret.Current) // readers do not wait for writers
	close(g.leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantValue(t, v, "web/A", secret.Current, "slow")
	wantNotFound(t, v, "web/B", secret.Current)
}

func TestWriteFailsWithoutRandomness(t *testing.T) {
	path := vaultPath(t)
	v := openVault(t, path)
	write(t, v, "web/A", "kept")
	closeVault(t, v)
	v = openWith(t, embedded.Config{Path: path, Key: masterKey(1), Random: io.LimitReader(nil, 0)})
	if _, _, err := v.Write(t.Context(), "web/A", secret.Write{Secret: value("lost")}); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the random source's error", err)
	}
	wantValue(t, v, "web/A", secret.Current, "kept")
	wantNotFound(t, v, "web/A", "2")
}
