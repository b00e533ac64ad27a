package identity_test

import (
	"errors"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// iamCaller is as Lambda writes it.
func iamCaller() identity.IAM {
	return identity.IAM{
		Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/worker/i-0a1b2c", UserID: "AROAEXAMPLEEXAMPLEEXA:i-0a1b2c",
		AccessKey: "ASIAEXAMPLEEXAMPLEEX",
	}
}

func iamVerifier(t *testing.T, c *clock) *identity.Verifier {
	t.Helper()
	made, err := trust.Template("aws-function-url", map[string][]string{"account": {"123456789012"}, "role": {"worker"}, "role_id": {"AROAEXAMPLEEXAMPLEEXA"}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := made.Extend(trust.Rule{Name: "workers", Map: trust.Map{Base: "web/production", Scopes: []string{"read:web/production/*"}, Labels: map[string]string{"team": "jobs"}}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := trust.New([]trust.Rule{r})
	if err != nil {
		t.Fatal(err)
	}
	v, err := identity.New(identity.Config{Trust: set, Wall: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestIAM(t *testing.T) {
	v := iamVerifier(t, newClock())
	c := iamCaller()
	got, err := v.VerifyIAM(&c)
	if err != nil {
		t.Fatal(err)
	}
	pr := got.Principal
	team, _ := policy.Lookup(pr.Claims, "labels.team")
	session, _ := policy.Lookup(pr.Claims, "session")
	if pr.Trust != "workers" || pr.Issuer != trust.FunctionURL || pr.Subject != "arn:aws:sts::123456789012:assumed-role/worker" ||
		pr.TokenID != c.AccessKey || pr.KeyID != "" || pr.AuthenticatedBy != "aws_iam" || pr.Base.String() != "web/production" ||
		pr.Scopes.String() != "read:web/production/*" || team != "jobs" || session != "i-0a1b2c" || !pr.Expires.Equal(start.Add(12*time.Hour)) {
		t.Errorf("got %+v", pr)
	}
	// A revocation of its session has to last as long as that can.
	if v.LongestLife() < 12*time.Hour {
		t.Errorf("got %v", v.LongestLife())
	}
}

// Whatever AWS does not write is refused, and what it says twice has to be the same.
func TestIAMRefuses(t *testing.T) {
	v := iamVerifier(t, newClock())
	for name, change := range map[string]func(*identity.IAM){
		"nobody":              func(c *identity.IAM) { *c = identity.IAM{} },
		"a user":              func(c *identity.IAM) { c.ARN, c.UserID = "arn:aws:iam::123456789012:user/worker", "AIDAEXAMPLE" },
		"the account itself":  func(c *identity.IAM) { c.ARN, c.UserID = "arn:aws:iam::123456789012:root", "123456789012" },
		"a federated user":    func(c *identity.IAM) { c.ARN = "arn:aws:sts::123456789012:federated-user/worker/i-0a1b2c" },
		"the role, unassumed": func(c *identity.IAM) { c.ARN = "arn:aws:iam::123456789012:role/worker/i-0a1b2c" },
		"another account":     func(c *identity.IAM) { c.Account = "210987654321" },
		"of another account":  func(c *identity.IAM) { c.ARN = "arn:aws:sts::210987654321:assumed-role/worker/i-0a1b2c" },
		"and in both": func(c *identity.IAM) {
			c.Account = "210987654321"
			c.ARN = "arn:aws:sts::210987654321:assumed-role/worker/i-0a1b2c"
		},
		"another session": func(c *identity.IAM) { c.UserID = "AROAEXAMPLEEXAMPLEEXA:other" },
		"no session": func(c *identity.IAM) {
			c.ARN, c.UserID = "arn:aws:sts::123456789012:assumed-role/worker/", "AROAEXAMPLEEXAMPLEEXA:"
		},
		"two sessions":         func(c *identity.IAM) { c.ARN = "arn:aws:sts::123456789012:assumed-role/worker/x/i-0a1b2c" },
		"another role":         func(c *identity.IAM) { c.ARN = "arn:aws:sts::123456789012:assumed-role/admin/i-0a1b2c" },
		"another id":           func(c *identity.IAM) { c.UserID = "AROAANOTHERANOTHERANO:i-0a1b2c" },
		"a region":             func(c *identity.IAM) { c.ARN = "arn:aws:sts:eu-west-1:123456789012:assumed-role/worker/i-0a1b2c" },
		"no id of a role":      func(c *identity.IAM) { c.UserID = "AIDAEXAMPLEEXAMPLEEXA:i-0a1b2c" },
		"a long-term key":      func(c *identity.IAM) { c.AccessKey = "AKIAEXAMPLEEXAMPLEEX" },
		"no key":               func(c *identity.IAM) { c.AccessKey = "" },
		"a key with a newline": func(c *identity.IAM) { c.AccessKey = "ASIAEXAMPLE\nEXAMPLE" },
	} {
		c := iamCaller()
		change(&c)
		if got, err := v.VerifyIAM(&c); !errors.Is(err, identity.ErrInvalid) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	// Without rules for such callers nobody is one.
	bare := newVerifier(t, newClock(), keySet(t))
	c := iamCaller()
	if got, err := bare.VerifyIAM(&c); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A token cannot say that it is such a caller: nobody signs for that issuer.
func TestTokenOfTheFunctionURL(t *testing.T) {
	v := iamVerifier(t, newClock())
	token := platformKeys()["ES256"].Sign(map[string]any{
		"iss": trust.FunctionURL, "sub": "arn:aws:sts::123456789012:assumed-role/worker", "account": "123456789012", "role": "worker",
		"role_id": "AROAEXAMPLEEXAMPLEEXA", "iat": start.Unix(), "exp": start.Unix() + 600, "aud": audience,
	})
	if got, err := v.Verify(t.Context(), token); !errors.Is(err, identity.ErrInvalid) {
		t.Errorf("got %+v, %v", got, err)
	}
}
