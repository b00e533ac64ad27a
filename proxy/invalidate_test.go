package proxy_test

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// An invalidation ends what is cached, absences included, is a fact, and is a pair of records.
func TestInvalidate(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		for i := range c.Mounts {
			c.Mounts[i].TTL.Negative = time.Minute
		}
	})
	c := h.call(t, "read:** invalidate:one/*")
	h.read(t, c, "one/KEY")
	h.read(t, c, "two/KEY")
	h.read(t, c, "one/LATE")
	h.vault.set("a/KEY", "new")
	h.vault.set("a/LATE", "here now")
	if v, code := h.read(t, c, "one/LATE"); code != api.NotFound {
		t.Fatalf("got %q %q: the absence is not remembered", v, code)
	}
	before := h.Generation()
	for _, p := range []string{"one/KEY", "one/LATE"} {
		done, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, p)})
		must(t, err)
		if before++; done.Generation != before || h.Generation() != before {
			t.Errorf("got generation %d, want %d", done.Generation, before)
		}
		if n := h.records(`"id":"`+done.Decision+`"`, `"kind":"intent"`, `"action":"invalidate"`, `"path":"`+p+`"`, `"mount":"one"`); n != 1 {
			t.Errorf("got %d intents, want 1", n)
		}
		if n := h.records(`"kind":"outcome"`, `"pair":"`+done.Decision+`"`, `"action":"invalidate"`, `"status":200`); n != 1 {
			t.Errorf("got %d outcomes, want 1", n)
		}
	}
	for p, want := range map[string]string{"one/KEY": "new", "one/LATE": "here now", "two/KEY": canary} {
		if v, code := h.read(t, c, p); v != want {
			t.Errorf("%s: got %q %q, want %q", p, v, code, want)
		}
	}
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	// It matters as long as anything that was cached before it may be served: hard TTL, max_blind and a margin.
	if f := facts[0]; f.Kind != state.Invalidation || f.Subject != "one/KEY" || f.ExpiresAt.Sub(f.At) != 5*time.Minute+30*time.Second+5*time.Minute {
		t.Errorf("got fact %+v", f)
	}
}

// A prefix is the path itself and all below it, by whole segments.
func TestInvalidatePrefix(t *testing.T) {
	h := newHarness(t, func(c *proxy.Config) {
		root := c.Mounts[0]
		root.Path, root.At = path(t, "r"), ""
		c.Mounts = append(c.Mounts, root)
	})
	names := []string{"db", "db/KEY", "db/deep/KEY", "dbx", "other"}
	for _, n := range names {
		h.vault.set(n, "old")
	}
	c := h.call(t, "read:** invalidate:r/**")
	for _, n := range names {
		h.read(t, c, "r/"+n)
		h.vault.set(n, "new")
	}
	done, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, "r/db"), Below: true})
	must(t, err)
	for i, n := range names {
		want := "new"
		if i >= 3 {
			want = "old"
		}
		if v, code := h.read(t, c, "r/"+n); v != want {
			t.Errorf("%s: got %q %q, want %q", n, v, code, want)
		}
	}
	if n := h.records(`"id":"`+done.Decision+`"`, `"path":"r/db/**"`); n != 1 {
		t.Errorf("got %d records of the prefix, want 1", n)
	}
}

// The scope covers all that is meant, the policy is asked, and who is refused has changed nothing.
func TestInvalidateIsDecided(t *testing.T) {
	h := newHarness(t, nil)
	one, below := proxy.Invalidation{Path: path(t, "one/KEY")}, proxy.Invalidation{Path: path(t, "one"), Below: true}
	for _, row := range []struct {
		scopes string
		what   proxy.Invalidation
		want   api.Code
	}{
		{"read:** write:** revoke:**", one, api.ScopeDenied},
		{"invalidate:one/OTHER", one, api.ScopeDenied},
		{"invalidate:one/*", one, ""},
		{"invalidate:one", below, api.ScopeDenied},
		{"invalidate:one/**", below, api.ScopeDenied},
		{"invalidate:one invalidate:one/*", below, api.ScopeDenied},
		{"invalidate:one read:one/**", below, api.ScopeDenied},
		{"invalidate:one invalidate:one/**", below, ""},
		{"invalidate:**", below, ""},
		{"invalidate:**", proxy.Invalidation{Path: path(t, "no/mount")}, ""},
	} {
		before := h.Generation()
		_, err := h.Invalidate(t.Context(), h.call(t, row.scopes), row.what)
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: got %v", row.scopes, err)
		case row.want != "" && (err == nil || codeOf(t, err) != row.want):
			t.Errorf("%s: got %v, want %s", row.scopes, err, row.want)
		case row.want != "" && h.Generation() != before:
			t.Errorf("%s: it was refused and is a fact", row.scopes)
		}
	}
	h.judge.effect.Store(uint32(policy.Deny))
	before := h.Generation()
	_, err := h.Invalidate(t.Context(), h.call(t, "invalidate:**"), below)
	if err == nil || codeOf(t, err) != api.PolicyDenied || h.Generation() != before {
		t.Errorf("got %v, want policy_denied and no fact", err)
	}
	if r := h.judge.last.Load(); r.Action != policy.Invalidate || r.Path.String() != "one" || r.Mount != "one" {
		t.Errorf("the policy was asked about %+v", r)
	}
}

// Where the store takes no fact the answer says so, and this node has let go of the value all the same.
func TestInvalidateWithoutAStore(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:** invalidate:**")
	h.read(t, c, "one/KEY")
	h.vault.set("a/KEY", "new")
	h.store.fail.Store(true)
	_, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, "one/KEY")})
	var e *proxy.Error
	if !errors.As(err, &e) || e.Code != api.StateUnavailable {
		t.Fatalf("got %v, want state_unavailable", err)
	}
	if n := h.records(`"kind":"outcome"`, `"code":"state_unavailable"`, `"pair":"`+e.Decision+`"`); n != 1 {
		t.Errorf("got %d outcome records, want 1", n)
	}
	if v, code := h.read(t, c, "one/KEY"); v != "new" {
		t.Errorf("got %q %q, want the new value", v, code)
	}
}

// A read that began before the invalidation is neither kept nor given to those who come after it.
func TestInvalidateOvertakesAFlight(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:** invalidate:**")
	h.vault.gate = make(chan struct{})
	first := make(chan string)
	go func() {
		v, _ := h.read(t, c, "one/KEY")
		first <- v
	}()
	for h.vault.reads.Load() == 0 {
		runtime.Gosched()
	}
	_, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, "one/KEY")})
	must(t, err)
	close(h.vault.gate)
	<-first
	h.read(t, c, "one/KEY")
	if n := h.vault.reads.Load(); n != 2 {
		t.Errorf("got %d reads, want 2: the one that was overtaken is not kept", n)
	}
}

// Without an acknowledged intent nothing changes.
func TestInvalidateIsRecordedFirst(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "read:** invalidate:**")
	h.read(t, c, "one/KEY")
	must(t, h.log.Close())
	before := h.vault.reads.Load()
	_, err := h.Invalidate(t.Context(), c, proxy.Invalidation{Path: path(t, "one/KEY")})
	if err == nil || codeOf(t, err) != api.AuditUnavailable || h.Generation() != 0 || h.vault.reads.Load() != before {
		t.Errorf("got %v and generation %d, want audit_unavailable and none", err, h.Generation())
	}
}
