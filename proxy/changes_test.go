package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// observed is the embedded vault, with something that happens after a read.
type observed struct {
	*embedded.Vault
	after func(v secret.Version)
	fail  error // of Delete, after it was done
	reads atomic.Int64
}

func (o *observed) Read(ctx context.Context, name string, v secret.Version) (*secret.Secret, error) {
	o.reads.Add(1)
	s, err := o.Vault.Read(ctx, name, v)
	if o.after != nil {
		o.after(v)
	}
	return s, err
}

func (o *observed) Delete(ctx context.Context, name string) error {
	return errors.Join(o.Vault.Delete(ctx, name), o.fail)
}

// withVault is the harness with both of its mounts on one place of an embedded vault.
func withVault(t *testing.T) (*harness, *observed) {
	t.Helper()
	v, err := embedded.Open(embedded.Config{Path: filepath.Join(t.TempDir(), "vault.db"), Key: bytes.Repeat([]byte{1}, embedded.KeyBytes)})
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	o := &observed{Vault: v}
	return newHarness(t, func(c *proxy.Config) {
		for i := range c.Mounts {
			c.Mounts[i].Upstream = o
		}
	}), o
}

// A deletion is a pair of records, a fact for each mount, and the end of every cached copy.
func TestDeleteIsSeenThroughEveryMount(t *testing.T) {
	h, _ := withVault(t)
	c := h.call(t, "read:** write:**")
	must(t, write(t, h, c, "one/KEY", canary))
	before := h.Generation()
	h.read(t, c, "one/KEY")
	h.read(t, c, "two/KEY")
	id, err := h.Delete(t.Context(), c, path(t, "one/KEY"))
	must(t, err)
	for _, p := range []string{"one/KEY", "two/KEY"} {
		if v, code := h.read(t, c, p); code != api.NotFound {
			t.Errorf("%s: got %q %q, want not_found", p, v, code)
		}
	}
	if got := h.Generation() - before; got != 2 {
		t.Errorf("got %d facts, want one for each mount", got)
	}
	if n := h.records(`"id":"`+id+`"`, `"kind":"intent"`, `"action":"delete"`, `"path":"one/KEY"`); n != 1 {
		t.Errorf("got %d intents, want 1", n)
	}
	if n := h.records(`"kind":"outcome"`, `"pair":"`+id+`"`, `"action":"delete"`, `"status":204`); n != 1 {
		t.Errorf("got %d outcomes, want 1", n)
	}
	// Again: nothing to announce, and recorded all the same.
	before = h.Generation()
	id, err = h.Delete(t.Context(), c, path(t, "one/KEY"))
	must(t, err)
	if h.Generation() != before || h.records(`"pair":"`+id+`"`, `"status":204`) != 1 {
		t.Error("deleting what is gone is announced, or not recorded")
	}
}

// What cannot be recorded is not deleted; what failed half-way is not served from the cache.
func TestDeleteThatFails(t *testing.T) {
	h, o := withVault(t)
	c := h.call(t, "read:** write:**")
	must(t, write(t, h, c, "one/KEY", canary))
	h.read(t, c, "one/KEY")
	o.fail = secret.ErrTimeout
	if _, err := h.Delete(t.Context(), c, path(t, "one/KEY")); codeOf(t, err) != api.UpstreamTimeout {
		t.Errorf("got %v, want upstream_timeout", err)
	}
	if _, code := h.read(t, c, "one/KEY"); code != api.NotFound {
		t.Errorf("after a deletion that may have happened: got %q, want the upstream to be asked", code)
	}
	o.fail = errors.New("what no contract names")
	if _, err := h.Delete(t.Context(), c, path(t, "one/KEY")); codeOf(t, err) != api.UpstreamError {
		t.Errorf("got %v, want upstream_error", err)
	}
	must(t, write(t, h, c, "one/KEY", canary))
	h.sink.Fail(errors.New("disk full"), 0)
	if _, err := h.Delete(t.Context(), c, path(t, "one/KEY")); codeOf(t, err) != api.AuditUnavailable {
		t.Errorf("got %v, want audit_unavailable", err)
	}
	if _, err := o.Vault.Read(t.Context(), "a/KEY", secret.Current); err != nil {
		t.Errorf("deleted without a record: %v", err)
	}
}

// Upstreams that cannot say so, after the decision and with a record.
func TestOptionalOperations(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "write:** list:**")
	_, err := h.Delete(t.Context(), c, path(t, "one/KEY"))
	if codeOf(t, err) != api.MethodNotAllowed {
		t.Errorf("delete: got %v, want method_not_allowed", err)
	}
	if _, err = h.Versions(t.Context(), c, path(t, "one/KEY")); codeOf(t, err) != api.MethodNotAllowed {
		t.Errorf("versions: got %v, want method_not_allowed", err)
	}
	for _, action := range []string{"delete", "versions"} {
		if n := h.records(`"action":"`+action+`"`, `"status":405`); n != 1 {
			t.Errorf("got %d records of the %s, want 1", n, action)
		}
	}
}

// A rollback is an intent that names the old version and an outcome that names the new one, with the value's MAC.
func TestRollback(t *testing.T) {
	h, o := withVault(t)
	c := h.call(t, "read:** write:**")
	must(t, write(t, h, c, "one/KEY", canary), write(t, h, c, "one/KEY", "bad"))
	h.read(t, c, "two/KEY")
	done, err := h.Rollback(t.Context(), c, path(t, "one/KEY"), secret.Previous)
	must(t, err)
	if done.Version != "3" || done.Created {
		t.Errorf("got %+v, want version 3 of what exists", done)
	}
	if v, code := h.read(t, c, "two/KEY"); v != canary {
		t.Errorf("got %q %q, want the old value through the other mount", v, code)
	}
	if n := h.records(`"kind":"intent"`, `"action":"rollback"`, `"version":"1"`, `"id":"`+done.Decision+`"`); n != 1 {
		t.Errorf("got %d intents, want 1 that names version 1", n)
	}
	if n := h.records(`"kind":"outcome"`, `"action":"rollback"`, `"version":"3"`, `"value_mac"`, `"pair":"`+done.Decision+`"`); n != 1 {
		t.Errorf("got %d outcomes, want 1 that names version 3", n)
	}
	if strings.Contains(h.sink.Text(), canary) {
		t.Error("a record holds the value")
	}
	if _, err := h.Rollback(t.Context(), c, path(t, "one/KEY"), "9"); codeOf(t, err) != api.NotFound {
		t.Errorf("an unknown version: got %v, want not_found", err)
	}
	h.sink.Fail(errors.New("disk full"), 0)
	if _, err := h.Rollback(t.Context(), c, path(t, "one/KEY"), "2"); codeOf(t, err) != api.AuditUnavailable {
		t.Errorf("got %v, want audit_unavailable", err)
	}
	if s, err := o.Vault.Read(t.Context(), "a/KEY", secret.Current); err != nil || s.Version != "3" {
		t.Errorf("rolled back without a record: %v", err)
	}
}

// A write at any moment during a rollback is not lost: the rollback conflicts.
func TestRollbackAgainstAWriter(t *testing.T) {
	for _, moment := range []secret.Version{secret.Current, secret.Previous} {
		t.Run("after reading "+string(moment), func(t *testing.T) {
			h, o := withVault(t)
			c := h.call(t, "read:** write:**")
			must(t, write(t, h, c, "one/KEY", "one"), write(t, h, c, "one/KEY", "two"))
			o.after = func(v secret.Version) {
				if v == moment {
					o.after = nil
					_, _, err := o.Vault.Write(t.Context(), "a/KEY", secret.Write{Secret: &secret.Secret{Value: secret.NewValue([]byte("theirs"))}})
					must(t, err)
				}
			}
			_, err := h.Rollback(t.Context(), c, path(t, "one/KEY"), secret.Previous)
			var e *proxy.Error
			if !errors.As(err, &e) || e.Code != api.VersionConflict || strings.Contains(e.Message, "if_version") {
				t.Errorf("got %v, want a version_conflict that speaks of the rollback", err)
			}
			s, err := o.Vault.Read(t.Context(), "a/KEY", secret.Current)
			must(t, err)
			if s.Version != "3" || s.Value.Len() != len("theirs") {
				t.Errorf("got version %s, want what the other writer wrote", s.Version)
			}
			if n := h.records(`"kind":"outcome"`, `"code":"version_conflict"`); n != 1 {
				t.Errorf("got %d outcomes, want 1", n)
			}
			report, err := audit.Verify(h.sink.Sources(), audit.VerifyOptions{PublicKey: publicKey(h)})
			if err != nil || len(report.OpenIntents) != 0 {
				t.Errorf("got open intents %v (%v)", report.OpenIntents, err)
			}
		})
	}
}

// Versions needs a list scope, and is a record of its own.
func TestVersions(t *testing.T) {
	h, _ := withVault(t)
	c := h.call(t, "list:one/* write:**")
	must(t, write(t, h, c, "one/KEY", canary), write(t, h, c, "one/KEY", canary))
	got, err := h.Versions(t.Context(), c, path(t, "one/KEY"))
	must(t, err)
	if len(got.Versions) != 2 || got.Versions[0].Version != "2" || got.Versions[0].State != secret.StateCurrent {
		t.Errorf("got %+v", got.Versions)
	}
	if n := h.records(`"id":"`+got.Decision+`"`, `"action":"versions"`, `"returned":2`, `"status":200`); n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
	if _, err := h.Versions(t.Context(), c, path(t, "two/KEY")); codeOf(t, err) != api.ScopeDenied {
		t.Errorf("got %v, want scope_denied", err)
	}
	h.sink.Fail(errors.New("disk full"), 0)
	if _, err := h.Versions(t.Context(), c, path(t, "one/KEY")); codeOf(t, err) != api.AuditUnavailable {
		t.Errorf("got %v, want audit_unavailable", err)
	}
}
