package upstreamtest

import (
	"context"
	"slices"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func testDelete(t *testing.T, h Harness) {
	u := open(t, h)
	d, ok := u.(secret.Deleter)
	if ok != h.Deletes {
		t.Fatalf("the upstream is a Deleter: %t, the harness says %t", ok, h.Deletes)
	}
	if !ok {
		return
	}
	w, ok := u.(secret.Writer)
	if !ok {
		t.Fatal("the upstream deletes, but takes no writes")
	}
	ctx := t.Context()
	noError(t, "deleting what never was", d.Delete(ctx, "suite/never"))
	announced(t, u, "deleting what never was")

	v1 := write(t, w, "suite/gone", secret.Write{Secret: simple(h, "one")}, true)
	v2 := write(t, w, "suite/gone", secret.Write{Secret: simple(h, "two")}, false)
	write(t, w, "suite/gone-too", secret.Write{Secret: simple(h, "beside")}, true)
	write(t, w, "suite/gone/below", secret.Write{Secret: simple(h, "below")}, true)
	settle(t, u)
	noError(t, "deleting", d.Delete(ctx, "suite/gone"))
	announced(t, u, "deleting", "suite/gone")
	for _, v := range []secret.Version{secret.Current, secret.Previous, v1, v2} {
		s, err := u.Read(ctx, "suite/gone", v)
		refused(t, s, err, "reading a deleted secret at "+string(v), secret.ErrNotFound)
	}
	same(t, h, read(t, u, "suite/gone-too", secret.Current), simple(h, "beside"))
	same(t, h, read(t, u, "suite/gone/below", secret.Current), simple(h, "below"))
	if l, ok := u.(secret.Lister); ok {
		got := itemNames(list(t, l, "", "", 10))
		if h.ListsDeleted {
			got = slices.DeleteFunc(got, func(name string) bool { return name == "suite/gone" })
		}
		if slices.Contains(got, "suite/gone") || len(got) != 2 {
			t.Errorf("after a deletion %q are listed", got)
		}
	}
	settle(t, u)
	noError(t, "deleting again", d.Delete(ctx, "suite/gone"))
	announced(t, u, "deleting again")

	_, _, err := w.Write(ctx, "suite/gone", secret.Write{Secret: simple(h, "conflict"), IfVersion: v2})
	wantError(t, err, "writing if the deleted version is current", secret.ErrConflict)
	v3 := write(t, w, "suite/gone", secret.Write{Secret: simple(h, "three"), IfVersion: "0"}, true)
	if _, unique := u.(secret.UniqueVersions); unique && (v3 == v1 || v3 == v2) {
		t.Errorf("version %q was given again after a deletion", v3)
	}
	s, err := u.Read(ctx, "suite/gone", secret.Previous)
	refused(t, s, err, "reading the version before a deletion", secret.ErrNotFound)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	wantError(t, d.Delete(cancelled, "suite/gone"), "deleting for a caller who left", context.Canceled)
	wantError(t, d.Delete(expired(t), "suite/gone"), "deleting after the deadline", secret.ErrTimeout)
	same(t, h, read(t, u, "suite/gone", secret.Current), simple(h, "three"))
}

// settle empties the outbox, where there is one.
func settle(t *testing.T, u secret.Upstream) {
	t.Helper()
	if o, ok := u.(secret.Outbox); ok {
		for _, c := range pending(t, o) {
			noError(t, "settling", o.Settle(t.Context(), c.ID))
		}
	}
}

// announced checks what the outbox holds, where there is one.
func announced(t *testing.T, u secret.Upstream, doing string, want ...string) {
	t.Helper()
	if o, ok := u.(secret.Outbox); ok {
		if got := namesOf(pending(t, o)); !slices.Equal(got, want) {
			t.Errorf("%s: pending are %q, want %q", doing, got, want)
		}
	}
}

func testHistory(t *testing.T, h Harness) {
	u := open(t, h)
	hist, ok := u.(secret.Versioner)
	if ok != h.Histories {
		t.Fatalf("the upstream is a Versioner: %t, the harness says %t", ok, h.Histories)
	}
	if !ok {
		return
	}
	_, err := hist.Versions(t.Context(), "suite/none")
	wantError(t, err, "asking for the versions of what is not there", secret.ErrNotFound)
	for _, text := range []string{"one", "two", "three"} {
		put(t, h, u, "suite/history", simple(h, text))
		put(t, h, u, "suite/history/below", simple(h, text))
	}
	all, err := hist.Versions(t.Context(), "suite/history")
	noError(t, "asking for versions", err)
	if len(all) == 0 || all[0].State != secret.StateCurrent {
		t.Fatalf("got %+v, want the current version first", all)
	}
	for i, v := range all {
		switch {
		case i > 0 && v.State == secret.StateCurrent, i != 1 && v.State == secret.StatePrevious:
			t.Errorf("version %d of %+v is %s", i, all, v.State)
		case i > 0 && v.CreatedAt.After(all[i-1].CreatedAt):
			t.Errorf("%+v are not the newest first", all)
		case v.State == secret.StateDestroyed:
			s, err := u.Read(t.Context(), "suite/history", v.Version)
			refused(t, s, err, "reading a destroyed version", secret.ErrNotFound)
		default:
			s := read(t, u, "suite/history", v.Version)
			isVersion(t, s)
			if s.Version != v.Version || !s.CreatedAt.Equal(v.CreatedAt) {
				t.Errorf("version %q of %v reads as %q of %v", v.Version, v.CreatedAt, s.Version, s.CreatedAt)
			}
		}
	}
	if h.KeepsVersions {
		if len(all) < 2 || all[1].State != secret.StatePrevious {
			t.Fatalf("got %+v, want the previous version second", all)
		}
		if s := read(t, u, "suite/history", secret.Previous); s.Version != all[1].Version {
			t.Errorf("the previous version is %q, but reads as %q", all[1].Version, s.Version)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = hist.Versions(cancelled, "suite/history")
	wantError(t, err, "asking for a caller who left", context.Canceled)
	_, err = hist.Versions(expired(t), "suite/history")
	wantError(t, err, "asking after the deadline", secret.ErrTimeout)
	if d, ok := u.(secret.Deleter); ok {
		noError(t, "deleting", d.Delete(t.Context(), "suite/history"))
		_, err = hist.Versions(t.Context(), "suite/history")
		wantError(t, err, "asking for the versions of what was deleted", secret.ErrNotFound)
	}
}
