package upstreamtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func testWrite(t *testing.T, h Harness) {
	u := open(t, h)
	if _, ok := u.(secret.Writer); ok != h.Writes {
		t.Fatalf("the upstream is a Writer: %t, the harness says %t", ok, h.Writes)
	}
	if !h.Writes {
		return
	}
	t.Run("Created", func(t *testing.T) {
		u, w := writer(t, h)
		v1 := write(t, w, "suite/new", secret.Write{Secret: simple(h, "one")}, true)
		v2 := write(t, w, "suite/new", secret.Write{Secret: simple(h, "two")}, false)
		if v1 == v2 {
			t.Errorf("version %q was given twice", v1)
		}
		got := read(t, u, "suite/new", secret.Current)
		same(t, h, got, simple(h, "two"))
		isVersion(t, got)
		if got.Version != v2 {
			t.Errorf("the current version is %q, want %q", got.Version, v2)
		}
	})
	t.Run("IfVersion", func(t *testing.T) { testIfVersion(t, h) })
	t.Run("BytesStayTheCallers", func(t *testing.T) {
		u, w := writer(t, h)
		s := simple(h, "mine")
		write(t, w, "suite/mine", secret.Write{Secret: s}, true)
		same(t, h, s, simple(h, "mine"))
		s.Wipe()
		same(t, h, read(t, u, "suite/mine", secret.Current), simple(h, "mine"))
	})
	if h.Metadata {
		t.Run("Metadata", func(t *testing.T) { testWriteMetadata(t, h) })
	}
	t.Run("Invalid", func(t *testing.T) {
		u, w := writer(t, h)
		write(t, w, "suite/valid", secret.Write{Secret: simple(h, "valid")}, true)
		big := &secret.Secret{Value: secret.NewValue(large(secret.MaxValueBytes + 1))}
		if !h.Values {
			big = &secret.Secret{Fields: []secret.Field{{Name: "big", Value: big.Value}}}
		}
		_, _, err := w.Write(t.Context(), "suite/valid", secret.Write{Secret: big})
		wantError(t, err, "writing too much", secret.ErrTooLarge)
		unordered := &secret.Secret{Fields: []secret.Field{
			{Name: "b", Value: secret.NewValue([]byte(Canary))}, {Name: "a", Value: secret.NewValue([]byte(Canary))},
		}}
		_, _, err = w.Write(t.Context(), "suite/valid", secret.Write{Secret: unordered})
		wantError(t, err, "writing fields out of order", secret.ErrInvalidSecret)
		same(t, h, read(t, u, "suite/valid", secret.Current), simple(h, "valid"))
	})
	t.Run("Concurrently", func(t *testing.T) { testConcurrentWrites(t, h) })
}

func writer(t *testing.T, h Harness) (secret.Upstream, secret.Writer) {
	t.Helper()
	u := open(t, h)
	return u, u.(secret.Writer)
}

func write(t *testing.T, w secret.Writer, name string, what secret.Write, wantCreated bool) secret.Version {
	t.Helper()
	v, created, err := w.Write(t.Context(), name, what)
	noError(t, "writing "+name, err)
	if created != wantCreated {
		t.Errorf("writing %s: created is %t, want %t", name, created, wantCreated)
	}
	return v
}

func testIfVersion(t *testing.T, h Harness) {
	u, w := writer(t, h)
	conflict := func(name string, v secret.Version) {
		t.Helper()
		_, _, err := w.Write(t.Context(), name, secret.Write{Secret: simple(h, "conflict"), IfVersion: v})
		wantError(t, err, fmt.Sprintf("writing %s if its version is %q", name, v), secret.ErrConflict)
	}
	conflict("suite/if", "1")
	s, err := u.Read(t.Context(), "suite/if", secret.Current)
	refused(t, s, err, "reading what a conflict must not have stored", secret.ErrNotFound)

	v1 := write(t, w, "suite/if", secret.Write{Secret: simple(h, "one"), IfVersion: "0"}, true)
	conflict("suite/if", "0")
	v2 := write(t, w, "suite/if", secret.Write{Secret: simple(h, "two"), IfVersion: v1}, false)
	conflict("suite/if", v1)
	conflict("suite/if", "99999999")
	got := read(t, u, "suite/if", secret.Current)
	same(t, h, got, simple(h, "two"))
	if got.Version != v2 {
		t.Errorf("the current version is %q, want %q", got.Version, v2)
	}
}

func testWriteMetadata(t *testing.T, h Harness) {
	u, w := writer(t, h)
	for i, step := range []struct{ write, want map[string]string }{
		{nil, nil},
		{map[string]string{"owner": "payments", "tier": "1"}, map[string]string{"owner": "payments", "tier": "1"}},
		{nil, map[string]string{"owner": "payments", "tier": "1"}},
		{map[string]string{"owner": "web"}, map[string]string{"owner": "web"}},
		{map[string]string{}, nil},
		{nil, nil},
	} {
		s := simple(h, fmt.Sprint("step ", i))
		s.Metadata = step.write
		write(t, w, "suite/metadata", secret.Write{Secret: s}, i == 0)
		got := read(t, u, "suite/metadata", secret.Current)
		sameMetadata(t, got.Metadata, step.want)
	}
}

// testConcurrentWrites holds two laws: no version is given twice, and of writers who saw the same version one wins.
func testConcurrentWrites(t *testing.T, h Harness) {
	_, w := writer(t, h)
	first := write(t, w, "suite/race", secret.Write{Secret: simple(h, "first")}, true)
	const writers, each = 8, 4
	var mu sync.Mutex
	given := []secret.Version{first}
	winners := 0
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			_, _, err := w.Write(t.Context(), "suite/once", secret.Write{Secret: simple(h, fmt.Sprint("writer ", i)), IfVersion: "0"})
			if err != nil {
				wantError(t, err, "creating what may exist", secret.ErrConflict)
			}
			mu.Lock()
			if err == nil {
				winners++
			}
			mu.Unlock()
			for range each {
				v, _, err := w.Write(t.Context(), "suite/race", secret.Write{Secret: simple(h, fmt.Sprint("writer ", i))})
				if err != nil {
					t.Errorf("writing: %v", err)
				}
				mu.Lock()
				given = append(given, v)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if winners != 1 {
		t.Errorf("%d writers created one secret", winners)
	}
	slices.Sort(given)
	if got := len(slices.Compact(given)); got != 1+writers*each {
		t.Errorf("%d writes gave %d versions", 1+writers*each, got)
	}
}

func testOutbox(t *testing.T, h Harness) {
	u := open(t, h)
	o, ok := u.(secret.Outbox)
	if !ok {
		return
	}
	w, ok := u.(secret.Writer)
	if !ok {
		t.Fatal("the upstream has an outbox, but takes no writes")
	}
	ctx := t.Context()
	if got := pending(t, o); len(got) != 0 {
		t.Errorf("a new upstream has changes pending: %v", got)
	}
	var want []string
	for _, name := range []string{"suite/c", "suite/a", "suite/c", "suite/b"} {
		_, _, err := w.Write(ctx, name, secret.Write{Secret: simple(h, "change")})
		noError(t, "writing "+name, err)
		want = append(want, name)
	}
	_, _, err := w.Write(ctx, "suite/a", secret.Write{Secret: simple(h, "conflict"), IfVersion: "0"})
	wantError(t, err, "writing what exists", secret.ErrConflict)

	got := pending(t, o)
	if names := namesOf(got); !slices.Equal(names, want) {
		t.Fatalf("pending are %q, want %q", names, want)
	}
	if !slices.IsSortedFunc(got, func(a, b secret.Change) int { return int(a.ID) - int(b.ID) }) || got[0].ID == got[1].ID {
		t.Errorf("the IDs of %v do not rise", got)
	}
	noError(t, "settling", o.Settle(ctx, got[1].ID, got[3].ID, 1<<40))
	noError(t, "settling again", o.Settle(ctx, got[1].ID))
	noError(t, "settling nothing", o.Settle(ctx))
	if names := namesOf(pending(t, o)); !slices.Equal(names, []string{"suite/c", "suite/c"}) {
		t.Errorf("after settling, pending are %q", names)
	}
	noError(t, "settling the rest", o.Settle(ctx, got[0].ID, got[2].ID))
	_, _, err = w.Write(ctx, "suite/d", secret.Write{Secret: simple(h, "change")})
	noError(t, "writing suite/d", err)
	if last := pending(t, o); len(last) != 1 || last[0].Name != "suite/d" || last[0].ID <= got[3].ID {
		t.Errorf("after a settled outbox, pending are %v; IDs must go on above %d", last, got[3].ID)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = o.Pending(cancelled)
	wantError(t, err, "asking for a caller who left", context.Canceled)
}

func pending(t *testing.T, o secret.Outbox) []secret.Change {
	t.Helper()
	changes, err := o.Pending(t.Context())
	noError(t, "asking what is pending", err)
	return changes
}

func namesOf(changes []secret.Change) []string {
	var names []string
	for _, c := range changes {
		names = append(names, c.Name)
	}
	return names
}
