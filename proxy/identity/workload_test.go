package identity_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

const sessionToken = "IQoJb3JpZ2luX2VjEAAaCWV1LXdlc3QtMSJGMEQ"

func workload(t *testing.T) *identity.Workload {
	t.Helper()
	scopes, err := policy.ParseScopes("read:**")
	if err != nil {
		t.Fatal(err)
	}
	return &identity.Workload{Token: sessionToken, Subject: "payments", Scopes: scopes}
}

func TestWorkload(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	now := start
	v, err := identity.New(identity.Config{Workload: workload(t), Wall: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if !v.Knows(sessionToken) || v.Knows(sessionToken+"x") {
		t.Error("it is not known by its token alone")
	}
	for range 2 {
		got, err := v.Verify(t.Context(), sessionToken)
		if err != nil {
			t.Fatal(err)
		}
		pr := got.Principal
		if pr.Trust != "function" || pr.Issuer != "function" || pr.Subject != "payments" || pr.Scopes.String() != "read:**" || pr.AuthenticatedBy != "session_token" || !pr.Expires.IsZero() ||
			!strings.HasPrefix(pr.TokenID, "sha256:") || strings.Contains(pr.TokenID, sessionToken) || !got.IssuedAt.Equal(start) {
			t.Errorf("got %+v", got)
		}
		now = now.Add(24 * time.Hour) // it lasts as long as the process
	}
	for _, other := range []string{"", sessionToken[1:], sessionToken + "=", strings.ToLower(sessionToken), strings.Repeat("x", identity.MaxTokenBytes+1)} {
		if _, err := v.Verify(t.Context(), other); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%.20q: got %v", other, err)
		}
	}
}

func TestNoWorkload(t *testing.T) {
	for name, change := range map[string]func(*identity.Workload){
		"no token":     func(w *identity.Workload) { w.Token = "" },
		"a long token": func(w *identity.Workload) { w.Token = strings.Repeat("x", identity.MaxTokenBytes+1) },
		"no name":      func(w *identity.Workload) { w.Subject = "" },
		"no scopes":    func(w *identity.Workload) { w.Scopes = nil },
	} {
		w := workload(t)
		change(w)
		if _, err := identity.New(identity.Config{Workload: w}); err == nil || strings.Contains(err.Error(), sessionToken[:15]) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := identity.New(identity.Config{}); err == nil {
		t.Error("nobody could ask, and that is no error")
	}
}
