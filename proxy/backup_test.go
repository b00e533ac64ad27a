package proxy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// A backup is for who may read and list everything, is recorded before it is made, and not made without the record.
func TestBackup(t *testing.T) {
	h := newHarness(t, nil)
	var notReady error
	asked := 0
	ready := func() error { asked++; return notReady }
	all := h.call(t, "read:** list:**")
	id, err := h.Backup(t.Context(), all, "v", ready)
	must(t, err)
	if n := h.records(`"id":"`+id+`"`, `"action":"vault_backup"`, `"reason":"upstream v"`, `"effect":"allow"`, `"status":200`); n != 1 {
		t.Errorf("got %d records, want 1", n)
	}
	for _, scopes := range []string{"read:**", "list:**", "read:one/** list:**", "read:** list:one/**", "write:** list:**"} {
		if _, err := h.Backup(t.Context(), h.call(t, scopes), "v", ready); codeOf(t, err) != api.ScopeDenied {
			t.Errorf("%s: got %v, want scope_denied", scopes, err)
		}
	}
	if n := h.records(`"action":"vault_backup"`, `"effect":"deny"`); n != 5 {
		t.Errorf("got %d records of refusals, want 5", n)
	}
	if _, err := h.Backup(t.Context(), &proxy.Call{}, "v", ready); codeOf(t, err) != api.Unauthenticated {
		t.Errorf("without a token: got %v", err)
	}
	if asked != 1 {
		t.Errorf("asked %d times whether it is ready, want once: those who are refused learn nothing", asked)
	}
	for _, e := range []*proxy.Error{{Code: api.NotFound}, {Code: api.Overloaded, RetryAfter: time.Second}} {
		notReady = e
		_, err := h.Backup(t.Context(), all, "v", ready)
		var got *proxy.Error
		if !errors.As(err, &got) || got.Code != e.Code || got.RetryAfter != e.RetryAfter {
			t.Fatalf("got %v, want %v", err, e)
		}
		if n := h.records(`"id":"`+got.Decision+`"`, `"action":"vault_backup"`, `"code":"`+string(e.Code)+`"`); n != 1 {
			t.Errorf("%s: got %d records, want 1", e.Code, n)
		}
	}
	notReady = nil
	_, err = h.store.Append(t.Context(), state.Fact{ID: "f1", Kind: state.Revocation, Subject: "subject:app", At: h.clock.Wall()})
	must(t, err)
	if _, err := h.Backup(t.Context(), all, "v", ready); codeOf(t, err) != api.Revoked {
		t.Errorf("revoked: got %v", err)
	}
	_, err = h.store.Append(t.Context(), state.Fact{ID: "f2", Kind: state.Lift, Subject: "f1", At: h.clock.Wall()})
	must(t, err)
	h.sink.Fail(errors.New("disk full"), 0)
	if _, err := h.Backup(t.Context(), all, "v", ready); codeOf(t, err) != api.AuditUnavailable {
		t.Errorf("without a record: got %v", err)
	}
}
