package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// Explain answers as Verify does, and says of each rule why.
func TestExplain(t *testing.T) {
	key := platformKeys()["ES256"]
	c := newClock()
	v := platformVerifier(t, c, map[string]identity.KeySource{platform: newSource(t, allKeys()...), another: newSource(t)},
		rule(func(r *trust.Rule) { r.Name, r.Issuer, r.JWKSURI = "elsewhere", another, another+"/jwks" }),
		rule(func(r *trust.Rule) { r.Name, r.Require = "staging", map[string][]string{"project_id": {"prj_9"}} }),
		rule(),
	)
	expired := with(with(platformClaims(), "iat", start.Unix()-600), "exp", start.Unix()-60)
	expired = with(expired, "nbf", nil)
	for _, tt := range []struct {
		name  string
		token string
		err   error
		want  string // "rule: check" of each
	}{
		{"taken", key.Sign(platformClaims()), nil, "elsewhere: iss, staging: require project_id, web: taken"},
		{"no rule", key.Sign(with(platformClaims(), "project_id", "prj_2")), identity.ErrInvalid, "elsewhere: iss, staging: require project_id, web: require project_id"},
		{"expired", key.Sign(expired), identity.ErrExpired, "elsewhere: iss, staging: require project_id, web: taken"},
		{"issuer that no rule names", key.Sign(with(platformClaims(), "iss", "https://nobody.example")), identity.ErrInvalid, "elsewhere: iss, staging: iss, web: iss"},
		{"no algorithm of any rule", key.SignText(edit(t, jsonText(t, key.Header()), "alg", `"HS256"`), jsonText(t, platformClaims())), identity.ErrInvalid, "elsewhere: iss, staging: alg, web: alg"},
		{"no kid", key.SignText(edit(t, jsonText(t, key.Header()), "kid", ""), jsonText(t, platformClaims())), identity.ErrInvalid, "elsewhere: iss, staging: kid, web: kid"},
		{"unknown kid", key.SignText(edit(t, jsonText(t, key.Header()), "kid", `"gone"`), jsonText(t, platformClaims())), identity.ErrUnknownKey, "elsewhere: iss, staging: kid, web: kid"},
		{"bad signature", key.SignText(edit(t, jsonText(t, key.Header()), "kid", `"platform-es384"`), jsonText(t, platformClaims())), identity.ErrInvalid, "elsewhere: iss, staging: signature, web: signature"},
		{"typ", key.SignText(edit(t, jsonText(t, key.Header()), "typ", `"logout+jwt"`), jsonText(t, platformClaims())), identity.ErrInvalid, "elsewhere: iss, staging: typ or claims, web: typ or claims"},
		{"our own", sign(t, testKey('a'), goodClaims(t)), nil, ""},
		{"not a token", "x.y", identity.ErrInvalid, ""},
	} {
		got := v.Explain(context.Background(), tt.token)
		var found []string
		for _, f := range got.Findings {
			if f.Taken {
				f.Check = "taken"
			} else if f.Reason == "" {
				t.Errorf("%s: rule %s gives no reason", tt.name, f.Rule.Name)
			}
			found = append(found, fmt.Sprintf("%s: %s", f.Rule.Name, f.Check))
		}
		if !errors.Is(got.Err, tt.err) || (got.Verified != nil) != (tt.err == nil) || strings.Join(found, ", ") != tt.want {
			t.Errorf("%s: got %v, %q; want %v, %q", tt.name, got.Err, found, tt.err, tt.want)
		}
		if _, err := v.Verify(context.Background(), tt.token); fmt.Sprint(err) != fmt.Sprint(got.Err) {
			t.Errorf("%s: Verify says %v, Explain %v", tt.name, err, got.Err)
		}
	}
	c.Advance(time.Hour)
	if n := v.Remembered(); n != 2 {
		t.Errorf("%d verifications remembered; want those of Verify alone", n)
	}
}
