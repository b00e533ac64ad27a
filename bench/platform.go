package main

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

const (
	platformIssuer = "https://tokens.platform.example"
	manyRules      = 10000
)

// platformTokens measures the verification of a platform's token, of RS256 as most platforms sign, by one trust rule and
// by the last of many.
func platformTokens(ctx context.Context, o options, r *report.Report) error {
	key := oidcemu.NewKey("RS256", "platform-1")
	all := signPlatformTokens(key, strangers)
	one, err := platformVerifier(key, 1)
	if err != nil {
		return err
	}
	many, err := platformVerifier(key, manyRules)
	if err != nil {
		return err
	}
	for _, v := range []*identity.Verifier{one, many} {
		if err := checkStrangers(ctx, v, all); err != nil {
			return err
		}
	}
	verify := func(v *identity.Verifier, every int) func(b *testing.B) error {
		return func(b *testing.B) error {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := v.Verify(ctx, all[i%every]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	plain := func(b *testing.B) error {
		for i := 0; b.Loop(); i++ {
			if err := plainVerifyRSA(key.Private.Public().(*rsa.PublicKey), all[i%strangers]); err != nil {
				return err
			}
		}
		return nil
	}
	const against = "crypto/rsa and encoding/json for header and claims, without any check of what they say"
	for _, row := range []struct {
		name, against     string
		subject, baseline func(b *testing.B) error
		budget            report.Budget
	}{
		{"token_platform_cold", against, verify(one, strangers), plain, report.Budget{}},
		{"token_platform_cached", against, verify(one, 1), plain, report.Budget{}},
		{"trust_rules_10000", "the same tokens by one rule", verify(many, strangers), verify(one, strangers), report.RatioAtMost(1.2)},
	} {
		m, err := micro{row.subject, row.baseline}.measure(ctx, o)
		if err != nil {
			return err
		}
		res := m.result(row.name, "ns/op", row.budget)
		res.Against, res.Notes = row.against, []string{fmt.Sprintf("%v allocs/op", m.allocs)}
		if err := r.Add(res); err != nil {
			return err
		}
	}
	return nil
}

// platformVerifier has so many rules of one issuer, each for a project of its own. The last takes the tokens.
func platformVerifier(key *oidcemu.Key, rules int) (*identity.Verifier, error) {
	list := make([]trust.Rule, rules)
	for i := range list {
		list[i] = trust.Rule{
			Name: fmt.Sprint("rule-", i), Issuer: platformIssuer, Algorithms: []string{"RS256"}, Audiences: []string{benchIssuer},
			Require: map[string][]string{"project_id": {fmt.Sprint("prj_", rules-1-i)}, "environment": {"production"}},
			Map:     trust.Map{Base: "web/production", Scopes: strings.Fields(benchScope)},
		}
	}
	set, err := trust.New(list)
	if err != nil {
		return nil, err
	}
	keys, err := identity.ParseKeySet(oidcemu.JWKS(key))
	if err != nil {
		return nil, err
	}
	return identity.New(identity.Config{Trust: set, Sources: map[string]identity.KeySource{platformIssuer: keys}, CacheEntries: remembered})
}

func signPlatformTokens(key *oidcemu.Key, n int) []string {
	now := time.Now()
	all := make([]string, n)
	for i := range all {
		all[i] = key.Sign(map[string]any{
			"iss": platformIssuer, "sub": fmt.Sprint("owner:acme:project:web-", i), "aud": benchIssuer, "jti": fmt.Sprint("token-", i),
			"owner": "acme", "owner_id": "team_1", "project": "web", "project_id": "prj_0", "environment": "production",
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		})
	}
	return all
}

// plainVerifyRSA is the least that the standard library has to do.
func plainVerifyRSA(key *rsa.PublicKey, token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("no token")
	}
	var head struct{ Alg, Typ, Kid string }
	var body map[string]any
	for i, into := range []any{&head, &body} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, into); err != nil {
			return err
		}
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(token[:len(parts[0])+1+len(parts[1])]))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], sig)
}
