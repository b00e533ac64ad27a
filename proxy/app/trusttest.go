package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// TrustTest is what the trust rules of a configuration make of a token. It says more than a server tells its callers, and
// nothing that a signature is made of.
type TrustTest struct {
	Taken   bool   `json:"taken"`
	Problem string `json:"problem,omitempty"` // why it is not taken
	Hint    string `json:"hint,omitempty"`    // what to do about it

	Rule    string            `json:"rule,omitempty"` // that takes it; "" for our own tokens as well
	Issuer  string            `json:"issuer,omitempty"`
	Subject string            `json:"subject,omitempty"`
	TokenID string            `json:"token_id,omitempty"`
	KeyID   string            `json:"key_id,omitempty"`
	Scope   string            `json:"scope,omitempty"`
	Base    string            `json:"base,omitempty"`
	Claims  map[string]string `json:"claims,omitempty"` // that policies see
	Expires string            `json:"expires_at,omitempty"`

	Rules []RuleTest `json:"rules"` // every rule, in the order of the configuration
}

// RuleTest is what one rule says of a token.
type RuleTest struct {
	Rule   string `json:"rule"`
	Taken  bool   `json:"taken"`
	Check  string `json:"check,omitempty"`  // the first that failed
	Reason string `json:"reason,omitempty"` // why
}

// TestToken verifies a token as a server of this configuration would and says what each trust rule makes of it. It
// fetches the keys of the token's issuer, and changes and records nothing.
func TestToken(ctx context.Context, c *config.Config, getenv func(string) string, logger *slog.Logger, token string) (t TrustTest, err error) {
	b := alone(c, getenv, time.Now)
	b.env.Logger = logger
	id, err := b.identity()
	if err != nil {
		return TrustTest{}, fmt.Errorf("identity: %w", err)
	}
	defer func() { err = errors.Join(err, id.issuers.closeBut(nil)) }()
	e := id.verifier.Explain(ctx, token)
	t = TrustTest{Taken: e.Verified != nil, Rules: []RuleTest{}}
	if e.Err != nil {
		t.Problem, t.Hint = e.Err.Error(), hint(e)
	}
	for _, f := range e.Findings {
		t.Rules = append(t.Rules, RuleTest{f.Rule.Name, f.Taken, f.Check, f.Reason})
	}
	if t.Taken {
		t.of(e.Verified)
	}
	return t, nil
}

// TrustNames are the names that a revocation of a trust rule can mean: those of the rules, and of what has none.
func TrustNames(c *config.Config) []string {
	var names []string
	for i := range c.Identity.Trust {
		names = append(names, c.Identity.Trust[i].Name)
	}
	return append(names, "local", identity.ProjectTrust, identity.HookTrust, proxy.NoticeTrust, identity.WorkloadTrust)
}

// hint says what to do about a token that is not taken.
func hint(e identity.Explanation) string {
	taken := slices.ContainsFunc(e.Findings, func(f trust.Finding) bool { return f.Taken })
	switch {
	case identity.IsAssertion(e.Err):
		return "there it is taken, once: POST /v1/token with grant_type=client_credentials, client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer and client_assertion"
	case errors.Is(e.Err, identity.ErrUnknownKey):
		return "see whether the issuer publishes a key of this kid, and whether this machine can fetch it: keyhole doctor"
	case errors.Is(e.Err, identity.ErrExpired) && taken:
		return "a fresh token like it would be taken"
	case errors.Is(e.Err, identity.ErrExpired):
		return "no rule would take a fresh one either"
	}
	return ""
}

func (t *TrustTest) of(v *identity.Verified) {
	pr := &v.Principal
	t.Rule, t.Issuer, t.Subject, t.TokenID, t.KeyID = pr.Trust, pr.Issuer, pr.Subject, pr.TokenID, pr.KeyID
	t.Scope, t.Base, t.Expires = pr.Scopes.String(), pr.Base.String(), pr.Expires.UTC().Format(time.RFC3339)
	if len(pr.Claims) > 0 {
		t.Claims = map[string]string{}
	}
	for _, c := range pr.Claims {
		t.Claims[c.Name] = c.Value
	}
}
