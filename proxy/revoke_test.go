package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

func revoke(t testing.TB, h *harness, c *proxy.Call, kind api.RevocationKind, name string) proxy.Revocation {
	t.Helper()
	r, err := h.Revoke(t.Context(), c, proxy.Revocation{Kind: kind, Name: name, Reason: "a test"})
	must(t, err)
	return r
}

// Each kind ends what it names on the next request, with 401 where another token helps, and lifting it gives it back.
func TestRevoke(t *testing.T) {
	h := newHarness(t, nil)
	admin := h.call(t, "revoke:**", func(c *identity.Claims) { c.Subject, c.Trust = "admin", "admins" })
	app := h.call(t, "read:**", func(c *identity.Claims) {
		c.TokenID, c.OriginTokenID, c.Parents, c.Trust = "jti-1", "origin-1", []string{"parent-1", "parent-2"}, "web"
	})
	other := h.call(t, "read:**", func(c *identity.Claims) { c.Subject, c.Trust = "other", "ci" })
	for _, row := range []struct {
		kind   api.RevocationKind
		name   string
		want   api.Code
		others bool // it also ends what other asks
	}{
		{api.RevokeTokenID, "jti-1", api.TokenRevoked, false},
		{api.RevokeTokenID, "parent-1", api.TokenRevoked, false},
		{api.RevokeTokenID, "parent-2", api.TokenRevoked, false},
		{api.RevokeTokenID, "origin-1", api.TokenRevoked, false},
		{api.RevokeSubject, "app", api.Revoked, false},
		{api.RevokeTrust, "web", api.Revoked, false},
		{api.RevokeSecret, "one/KEY", api.Revoked, true},
		{api.RevokeSecret, "one/*", api.Revoked, true},
		{api.RevokeSecret, "**", api.Revoked, true},
	} {
		reads := h.vault.reads.Load()
		for _, c := range []*proxy.Call{app, other} {
			if _, code := h.read(t, c, "one/KEY"); code != "" {
				t.Fatalf("before %s: got %s", row.name, code)
			}
		}
		if h.vault.reads.Load() == reads && row.name == "one/*" {
			t.Error("what was cached of a revoked secret is served again when it is lifted")
		}
		r := revoke(t, h, admin, row.kind, row.name)
		if r.Generation != h.Generation() || r.Generation == 0 || r.By != "admin" || r.ID == "" || !r.At.Equal(h.clock.Wall()) {
			t.Errorf("%s: got %+v", row.name, r)
		}
		if _, code := h.read(t, app, "one/KEY"); code != row.want {
			t.Errorf("%s %s: got %q, want %q", row.kind, row.name, code, row.want)
		}
		if _, code := h.read(t, other, "one/KEY"); (code != "") != row.others {
			t.Errorf("%s %s: another principal got %q", row.kind, row.name, code)
		}
		until := ""
		if row.kind == api.RevokeTokenID {
			until = " until " + r.Until.Format(time.RFC3339)
		}
		if n := h.records(`"id":"`+r.Decision+`"`, `"kind":"intent"`, `"action":"revoke"`, string(row.kind)+":"+row.name+until+": a test"); n != 1 {
			t.Errorf("%s: got %d intents, want 1", row.name, n)
		}
		lifted, err := h.Lift(t.Context(), admin, r.ID)
		must(t, err)
		if lifted.Kind != row.kind || lifted.Name != row.name || lifted.Generation != h.Generation() {
			t.Errorf("%s: lifted %+v", row.name, lifted)
		}
		if n := h.records(`"kind":"outcome"`, `"pair":"`+lifted.Decision+`"`, `"action":"lift"`, `"status":200`); n != 1 {
			t.Errorf("%s: got %d outcomes of lifting, want 1", row.name, n)
		}
	}
	// The key that signed everything: whoever revokes it ends its own token, too.
	key, err := identity.Thumbprint(h.signer.PublicKey())
	must(t, err)
	r := revoke(t, h, admin, api.RevokeKeyID, key)
	if _, code := h.read(t, other, "one/KEY"); code != api.TokenRevoked {
		t.Errorf("key: got %q", code)
	}
	if _, err := h.Lift(t.Context(), admin, r.ID); codeOf(t, err) != api.TokenRevoked {
		t.Errorf("got %v, want token_revoked", err)
	}
}

// Who may revoke what, and who is refused has changed nothing.
func TestRevokeIsDecided(t *testing.T) {
	h := newHarness(t, nil)
	for _, row := range []struct {
		scopes string
		kind   api.RevocationKind
		name   string
		want   api.Code
	}{
		{"read:** write:** invalidate:**", api.RevokeSubject, "x", api.ScopeDenied},
		{"revoke:a/**", api.RevokeSubject, "x", api.ScopeDenied},
		{"revoke:*", api.RevokeTrust, "x", api.ScopeDenied},
		{"revoke:a/**", api.RevokeTokenID, "x", api.ScopeDenied},
		{"revoke:a/**", api.RevokeKeyID, "x", api.ScopeDenied},
		{"revoke:**", api.RevokeTokenID, "x", ""},
		{"read:one/*", api.RevokeTokenID, "mine", ""},
		{"read:one/*", api.RevokeSubject, "mine", api.ScopeDenied},
		{"revoke:one/*", api.RevokeSecret, "one/KEY", ""},
		{"revoke:one/*", api.RevokeSecret, "one/K*", ""},
		{"revoke:one/K*", api.RevokeSecret, "one/*", api.ScopeDenied},
		{"revoke:one/*", api.RevokeSecret, "one/**", api.ScopeDenied},
		{"read:**", api.RevokeSecret, "one/KEY", api.ScopeDenied},
	} {
		c := h.call(t, row.scopes, func(c *identity.Claims) { c.TokenID = "mine"; c.Subject = row.scopes + row.name })
		before := h.Generation()
		r, err := h.Revoke(t.Context(), c, proxy.Revocation{Kind: row.kind, Name: row.name, Reason: "x"})
		switch {
		case row.want == "" && err != nil:
			t.Errorf("%s: got %v", row.scopes, err)
		case row.want == "":
			if _, err := h.Lift(t.Context(), h.call(t, "revoke:**"), r.ID); err != nil {
				t.Errorf("%s: lifting: %v", row.scopes, err)
			}
		case err == nil || codeOf(t, err) != row.want || h.Generation() != before:
			t.Errorf("%s on %s %s: got %v, want %s", row.scopes, row.kind, row.name, err, row.want)
		}
	}
	h.judge.effect.Store(uint32(policy.Deny))
	_, err := h.Revoke(t.Context(), h.call(t, "revoke:**"), proxy.Revocation{Kind: api.RevokeSecret, Name: "one/KEY", Reason: "x"})
	if codeOf(t, err) != api.PolicyDenied {
		t.Errorf("got %v, want policy_denied", err)
	}
	if r := h.judge.last.Load(); r.Action != policy.Revoke || r.Path.String() != "one/KEY" || r.Mount != "one" {
		t.Errorf("the policy was asked about %+v", r)
	}
}

// Those who may revoke some secrets see and lift the revocations of those, and are not told which others there are.
func TestRevocationsAreShownToWhoMayRevoke(t *testing.T) {
	h := newHarness(t, nil)
	admin, some := h.call(t, "revoke:**"), h.call(t, "revoke:one/*")
	hidden := revoke(t, h, admin, api.RevokeSubject, "x")
	mine := revoke(t, h, admin, api.RevokeSecret, "one/KEY")
	revoke(t, h, admin, api.RevokeSecret, "two/KEY")
	got, err := h.Revocations(t.Context(), some, "", 10)
	must(t, err)
	if list := got.Revocations; len(list) != 1 || list[0].ID != mine.ID || list[0].Reason != "a test" || got.More {
		t.Errorf("got %+v", got)
	}
	if n := h.records(`"action":"revocations"`, `"id":"`+got.Decision+`"`); n != 1 {
		t.Errorf("%d records have the id of the decision", n)
	}
	var pages []string
	for more, after := true, ""; more; {
		got, err := h.Revocations(t.Context(), admin, after, 1)
		if err != nil || len(got.Revocations) != 1 || got.Revocations[0].ID <= after {
			t.Fatalf("after %q: got %+v, %v", after, got, err)
		}
		more, after = got.More, got.Revocations[0].ID
		pages = append(pages, after)
	}
	if len(pages) != 3 {
		t.Errorf("got %d revocations in all, want 3", len(pages))
	}
	for _, id := range []string{hidden.ID, "no-such"} {
		if _, err := h.Lift(t.Context(), some, id); codeOf(t, err) != api.ScopeDenied {
			t.Errorf("lifting %s: got %v, want scope_denied", id, err)
		}
	}
	if _, err := h.Revocations(t.Context(), h.call(t, "read:**"), "", 10); codeOf(t, err) != api.ScopeDenied {
		t.Errorf("got %v, want scope_denied", err)
	}
	if n := h.records(`"action":"revocations"`, `"status":200`); n != 4 {
		t.Errorf("got %d records of listings, want 4", n)
	}
}

// A revocation ends at its time. That of a token ends when nothing made from it can be valid any more.
func TestRevokedUntil(t *testing.T) {
	h := newHarness(t, nil)
	admin := h.call(t, "revoke:**", func(c *identity.Claims) { c.Subject = "admin" })
	end := h.clock.Wall().Add(10 * time.Minute)
	_, err := h.Revoke(t.Context(), admin, proxy.Revocation{Kind: api.RevokeSubject, Name: "app", Reason: "x", Until: end})
	must(t, err)
	c := h.call(t, "read:**")
	h.clock.pass(10*time.Minute-time.Second, 10*time.Minute-time.Second)
	if _, code := h.read(t, c, "one/KEY"); code != api.Revoked {
		t.Errorf("before its end: got %q", code)
	}
	h.clock.pass(time.Second, time.Second)
	if _, code := h.read(t, c, "one/KEY"); code != "" {
		t.Errorf("after its end: got %q", code)
	}
	r := revoke(t, h, h.call(t, "revoke:**"), api.RevokeTokenID, "x")
	if want := h.clock.Wall().Add(2*time.Hour + 2*identity.Leeway); !r.Until.Equal(want) {
		t.Errorf("got until %s, want %s", r.Until, want)
	}
	facts, _, err := h.store.Since(t.Context(), 0)
	must(t, err)
	if f := facts[len(facts)-1]; f.Kind != state.Revocation || f.Subject != "token_id:x" || f.ID != r.ID || !f.ExpiresAt.Equal(r.Until) {
		t.Errorf("got fact %+v", f)
	}
	if r := revoke(t, h, h.call(t, "revoke:**"), api.RevokeSubject, "y"); !r.Until.IsZero() {
		t.Errorf("the revocation of a subject ends at %s", r.Until)
	}
}

// A holder's revocation of its own token stays while that can matter, however long it is asked for, and no longer.
func TestHolderRevokesUntilTheTokenIsOver(t *testing.T) {
	h := newHarness(t, nil)
	now := h.clock.Wall()
	ages := now.AddDate(100, 0, 0)
	for name, row := range map[string]struct {
		scopes string
		asked  time.Time
		want   time.Time
	}{
		"by itself":        {"read:**", time.Time{}, now.Add(10*time.Minute + time.Hour + 2*identity.Leeway)},
		"for ages":         {"revoke:one/*", ages, now.Add(10*time.Minute + time.Hour + 2*identity.Leeway)},
		"for a while":      {"read:**", now.Add(time.Minute), now.Add(time.Minute)},
		"with all that is": {"revoke:**", ages, ages},
	} {
		id := strings.ReplaceAll(name, " ", "-")
		c := h.call(t, row.scopes, func(c *identity.Claims) { c.TokenID, c.Expires = id, now.Add(10*time.Minute) })
		r, err := h.Revoke(t.Context(), c, proxy.Revocation{Kind: api.RevokeTokenID, Name: id, Reason: "x", Until: row.asked})
		if err != nil || !r.Until.Equal(row.want) {
			t.Errorf("%s: got %s, %v, want %s", name, r.Until, err, row.want)
		}
	}
}

// Who may revoke little cannot fill the log, be it with secrets or with tokens of its own, and takes no room from others.
func TestRevocationsOfOnePrincipalAreBounded(t *testing.T) {
	h := newHarness(t, nil)
	end := h.clock.Wall().Add(time.Minute)
	some := h.call(t, "revoke:one/*")
	for i := range 1000 {
		r := proxy.Revocation{Kind: api.RevokeSecret, Name: fmt.Sprintf("one/X%d", i), Reason: "x", Until: end}
		if _, err := h.Revoke(t.Context(), some, r); err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
	}
	before := h.Generation()
	for name, r := range map[string]proxy.Revocation{
		"a secret":  {Kind: api.RevokeSecret, Name: "one/KEY", Reason: "x"},
		"its token": {Kind: api.RevokeTokenID, Name: "mine", Reason: "x"},
	} {
		c := h.call(t, "revoke:one/*", func(c *identity.Claims) { c.TokenID = "mine" })
		if _, err := h.Revoke(t.Context(), c, r); codeOf(t, err) != api.RateLimited || h.Generation() != before {
			t.Errorf("%s: got %v, want rate_limited", name, err)
		}
	}
	revoke(t, h, h.call(t, "revoke:**"), api.RevokeSecret, "one/Y")
	revoke(t, h, h.call(t, "revoke:one/*", func(c *identity.Claims) { c.Subject = "other" }), api.RevokeSecret, "one/Y")
	h.clock.pass(time.Minute, time.Minute)
	revoke(t, h, some, api.RevokeSecret, "one/Y")
}

// A revoked secret is neither read nor listed, and can be rotated, which is what should come next.
func TestRevokedSecretCanBeWritten(t *testing.T) {
	h := newHarness(t, nil)
	revoke(t, h, h.call(t, "revoke:**"), api.RevokeSecret, "one/**")
	c := h.call(t, "read:** write:**")
	_, err := h.Write(t.Context(), c, path(t, "one/KEY"), secret.Write{Secret: text("new")})
	must(t, err)
	if _, code := h.read(t, c, "one/KEY"); code != api.Revoked {
		t.Errorf("got %q, want revoked", code)
	}
}

// Without an acknowledged intent, or without the store, nothing is revoked, and the answer says so.
func TestRevokeFailsClosed(t *testing.T) {
	what := proxy.Revocation{Kind: api.RevokeSubject, Name: "x", Reason: "x"}
	h := newHarness(t, nil)
	h.store.fail.Store(true)
	h.clock.pass(time.Minute, time.Minute)
	if _, err := h.Revoke(t.Context(), h.call(t, "revoke:**"), what); codeOf(t, err) != api.StateUnavailable {
		t.Errorf("got %v, want state_unavailable", err)
	}
	h = newHarness(t, nil)
	must(t, h.log.Close())
	if _, err := h.Revoke(t.Context(), h.call(t, "revoke:**"), what); codeOf(t, err) != api.AuditUnavailable || h.Generation() != 0 {
		t.Errorf("got %v and generation %d, want audit_unavailable and none", err, h.Generation())
	}
}

// full is a state store that takes no facts.
type full struct {
	state.Store
	err error
}

func (f full) Append(context.Context, state.Fact) (uint64, error) { return 0, f.err }

// The log of the program says why nothing could be revoked; the caller is not told.
func TestFailedRevocationIsExplainedInTheLog(t *testing.T) {
	for code, err := range map[api.Code]error{
		api.StateUnavailable: fmt.Errorf("%w: no space left", state.ErrUnavailable),
		api.Internal:         errors.New("no space left"),
	} {
		var log bytes.Buffer
		h := newHarness(t, func(c *proxy.Config) {
			c.State = full{c.State, err}
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		_, err := h.Revoke(t.Context(), h.call(t, "revoke:**"), proxy.Revocation{Kind: api.RevokeSubject, Name: "x", Reason: "x"})
		if codeOf(t, err) != code || strings.Contains(err.Error(), "space") {
			t.Errorf("got %v, want %s", err, code)
		}
		var e *proxy.Error
		if !errors.As(err, &e) || !strings.Contains(log.String(), "no space left") || !strings.Contains(log.String(), e.Decision) {
			t.Errorf("%s: got the log %s", code, log.String())
		}
	}
}

func TestRevocationsAreChecked(t *testing.T) {
	h := newHarness(t, nil)
	c := h.call(t, "revoke:**")
	for _, r := range []proxy.Revocation{
		{Kind: api.RevokeSubject, Reason: "x"},
		{Kind: api.RevokeSubject, Name: "x"},
		{Kind: api.RevokeSubject, Name: strings.Repeat("x", proxy.MaxRevokedName+1), Reason: "x"},
		{Kind: api.RevokeSubject, Name: "x", Reason: strings.Repeat("x", proxy.MaxRevocationReason+1)},
		{Kind: api.RevokeSubject, Name: "a\nb", Reason: "x"},
		{Kind: api.RevokeSubject, Name: "x", Reason: "\xff"},
		{Kind: api.RevokeSubject, Name: "x", Reason: "x", Until: h.clock.Wall()},
		{Kind: api.RevokeSubject, Name: "x", Reason: "x", Until: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600))},
	} {
		if _, err := h.Revoke(t.Context(), c, r); codeOf(t, err) != api.InvalidRequest {
			t.Errorf("%+v: got %v", r, err)
		}
	}
	_, err := h.Revoke(t.Context(), c, proxy.Revocation{Kind: api.RevokeSecret, Name: "a//b", Reason: "x"})
	if codeOf(t, err) != api.InvalidPath {
		t.Errorf("got %v, want invalid_path", err)
	}
}
