package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/wasm"
)

// policyDecisions measures one decision of the builtin policy scope, encoded both ways, through the chain that the
// server asks.
func policyDecisions(ctx context.Context, o options, r *report.Report) error {
	flat1, ok := policies.Builtin("scope")
	if !ok {
		return errors.New("there is no builtin policy scope")
	}
	m, err := policyDecision(ctx, o, flat1)
	if err != nil {
		return err
	}
	const against = "policy.Scopes.Allows, which is the same logic in Go"
	res := m.result("policy_flat1", "ns/op", report.ValueAtMost(2000))
	res.Against = against
	if err := r.Add(res); err != nil {
		return err
	}
	if err := r.Add(report.New("policy_flat1_allocs", m.allocs, "allocs/op", report.ValueAtMost(0))); err != nil {
		return err
	}
	viaJSON, err := os.ReadFile("policies/testdata/scope_json.wasm")
	if err != nil {
		return err
	}
	if m, err = policyDecision(ctx, o, viaJSON); err != nil {
		return err
	}
	res = m.result("policy_json", "ns/op", report.Budget{})
	res.Against, res.Notes = against, []string{fmt.Sprintf("%v allocs/op", m.allocs)}
	return r.Add(res)
}

var errNotAllowed = errors.New("the request is not allowed")

func policyDecision(ctx context.Context, o options, module []byte) (m measured, err error) {
	c, err := wasm.New(ctx, wasm.Config{Modules: []wasm.Module{{Wasm: module}}})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	req, err := typicalRequest()
	if err != nil {
		return m, err
	}
	// A chain that allowed everything would be fast.
	other := *req
	if other.Path, err = secret.ParsePath("web/preview/STRIPE_KEY"); err != nil {
		return m, err
	}
	if d := c.Authorize(ctx, &other); d.Effect != policy.Deny || d.Fault != nil || other.Principal.Scopes.Allows(other.Action, other.Path) {
		return m, errors.Join(errors.New("a request outside the scope is not denied, or not by the policy"), d.Fault)
	}
	return micro{func(b *testing.B) error {
		b.ReportAllocs()
		for b.Loop() {
			if d := c.Authorize(ctx, req); d.Effect != policy.Allow {
				return errors.Join(errNotAllowed, d.Fault)
			}
		}
		return nil
	}, func(b *testing.B) error {
		for b.Loop() {
			if !req.Principal.Scopes.Allows(req.Action, req.Path) {
				return errNotAllowed
			}
		}
		return nil
	}}.measure(ctx, o)
}

// typicalRequest is what the server asks for the read that hotRead measures.
func typicalRequest() (*policy.Request, error) {
	path, err := secret.ParsePath(benchPath)
	if err != nil {
		return nil, err
	}
	scopes, err := policy.ParseScopes(benchScope)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &policy.Request{
		Action: policy.Read, Path: path, Mount: "web/production",
		Labels: []policy.Pair{{Name: "classification", Value: "confidential"}, {Name: "environment", Value: "production"}},
		Principal: &policy.Principal{
			Trust: "local", Issuer: "https://keyhole.localhost", Subject: "bench", ClientID: "keyhole-cli", TokenID: "01JD0000000000000000000000",
			AuthenticatedBy: "access_token", Scopes: scopes, Expires: now.Add(time.Hour),
		},
		Context: policy.Context{Time: now, Region: "local", SourceIP: "127.0.0.1", Surface: "native", UserAgent: "bench/1"},
	}, nil
}
