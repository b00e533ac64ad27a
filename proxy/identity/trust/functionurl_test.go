package trust_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

const roleID = "AROAEXAMPLEEXAMPLEEXA"

func functionURLRule(t *testing.T, own trust.Rule, with map[string][]string) (trust.Rule, error) {
	t.Helper()
	all := map[string][]string{"account": {"123456789012"}, "role": {"worker"}, "role_id": {roleID}}
	for k, v := range with {
		all[k] = v
	}
	made, err := trust.Template("aws-function-url", all)
	if err != nil {
		return made, err
	}
	own.Name, own.Map = "workers", trust.Map{Base: "apps/{role}", Scopes: []string{"read:apps/{role}/*"}, Labels: map[string]string{"team": "of {account}"}}
	return made.Extend(own)
}

// caller is what package identity makes of a caller whom AWS names.
func caller(t *testing.T, change map[string]any) trust.Token {
	t.Helper()
	claims := map[string]any{
		"sub": "arn:aws:sts::123456789012:assumed-role/worker", "account": "123456789012", "role": "worker", "role_id": roleID, "session": "one",
	}
	for k, v := range change {
		claims[k] = v
	}
	tok := tokenOf(t, "", claims)
	tok.Issuer = trust.FunctionURL
	return tok
}

func TestCallersOfAFunctionURL(t *testing.T) {
	r, err := functionURLRule(t, trust.Rule{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set := mustSet(t, r)
	if got := set.Issuers(); len(got) != 0 {
		t.Errorf("issuers of tokens: got %+v", got)
	}
	g, err := set.Admit(caller(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if g.Subject != "arn:aws:sts::123456789012:assumed-role/worker" || g.Base.String() != "apps/worker" || g.Scopes.String() != "read:apps/worker/*" || g.Rule.MaxTTL != 12*time.Hour {
		t.Errorf("got %+v", g)
	}
	for check, change := range map[string]map[string]any{
		"no rule of its issuer": {"role_id": "AROAANOTHERANOTHERANO"}, // the role was made again
		"check require role":    {"role": "admin"},
		"check require account": {"account": "210987654321"},
	} {
		if _, err := set.Admit(caller(t, change)); !errors.Is(err, trust.ErrRefused) || !strings.Contains(err.Error(), check) {
			t.Errorf("%v: got %v, want %s", change, err, check)
		}
	}
	// What is in a token is no caller, whatever it says: the issuer of a token is another.
	tok := caller(t, nil)
	tok.Issuer = "https://sts.example"
	if _, err := set.Admit(tok); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

// A rule beside it has an issuer as ever.
func TestCallersBesideTokens(t *testing.T) {
	r, err := functionURLRule(t, trust.Rule{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	fly := readFixtures(t)["fly"].rule(t, "fly")
	again, _ := functionURLRule(t, trust.Rule{}, map[string][]string{"role": {"other"}})
	again.Name = "others"
	set := mustSet(t, r, fly, again)
	if got := set.Issuers(); len(got) != 1 || got[0].Issuer != fly.Issuer {
		t.Errorf("got %+v", got)
	}
	if g, err := set.Admit(caller(t, map[string]any{"role": "other"})); err != nil || g.Rule.Name != "others" {
		t.Errorf("got %+v, %v", g, err)
	}
}

func TestFunctionURLRulesRefuse(t *testing.T) {
	for name, tt := range map[string]struct {
		own  trust.Rule
		with map[string][]string
		want string
	}{
		"any role id":   {with: map[string][]string{"role_id": {"*"}}, want: "needs an immutable id"},
		"no role id":    {with: map[string][]string{"role_id": {}}, want: "with.role_id: names nothing"},
		"account name":  {with: map[string][]string{"account": {"prod"}}, want: "want a number"},
		"a key set":     {own: trust.Rule{JWKS: "file:a.json"}, want: "jwks: is for tokens"},
		"an algorithm":  {own: trust.Rule{Algorithms: []string{"RS256"}}, want: "algs: is for tokens"},
		"an audience":   {own: trust.Rule{Audiences: []string{"us"}}, want: "audiences: is for tokens"},
		"a life":        {own: trust.Rule{MaxTTL: time.Hour}, want: "max_ttl: is for tokens"},
		"its session":   {own: trust.Rule{Require: map[string][]string{"session": {"admin"}}}, want: "whoever asks for the token chooses"},
		"another place": {own: trust.Rule{Issuer: "https://a.example"}, want: "issuer: template aws-function-url says which issuer"},
	} {
		r, err := functionURLRule(t, tt.own, tt.with)
		if err == nil {
			_, err = trust.New([]trust.Rule{r})
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}
