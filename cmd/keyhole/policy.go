package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func policyCommand() *cobra.Command {
	return group("policy", "Work with policies", policyEvalCommand())
}

// supposed is a request that nobody made.
type supposed struct {
	action, version, scope, subject, trust, issuer, sourceIP, surface, userAgent, at string

	claims []string
}

// evaluated is what a supposed request would get.
type evaluated struct {
	Path         string            `json:"path"`
	Action       string            `json:"action"`
	Mount        string            `json:"mount,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Effect       string            `json:"effect"`
	Code         api.Code          `json:"code,omitempty"`
	Rule         string            `json:"rule,omitempty"`
	Reason       string            `json:"reason,omitempty"`
	PolicyDigest string            `json:"policy_digest,omitempty"`
	Fault        string            `json:"fault,omitempty"`
}

func policyEvalCommand() *cobra.Command {
	var t target
	var s supposed
	var output string
	cmd := &cobra.Command{
		Use:   "eval PATH",
		Short: "Ask the policies of a configuration about a request that nobody made",
		Long: `Ask the policies of a configuration about a request that nobody made: its mount and labels are those of the
configuration, the rest comes from flags. No server is asked and nothing is recorded. Scopes come before policies: with
--scope, a request outside of them is denied as it would be. Exits 0 for allow and 3 for anything else.`,
		Args: args(1, 1, "keyhole policy eval PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := parsePath(args[0])
			if err != nil {
				return err
			}
			r, err := s.request(path, time.Now())
			if err != nil {
				return err
			}
			c, err := loadConfig(&t)
			if err != nil {
				return err
			}
			d, r, err := app.Evaluate(cmd.Context(), c, os.Getenv, r)
			if err != nil {
				return err
			}
			e := explained(&r, d)
			if err := e.print(cmd, output); err != nil {
				return err
			}
			if e.Effect != policy.Allow.String() {
				return &failure{code: exitDenied, err: fmt.Errorf("%s: %s on %s is not allowed", e.Code, e.Action, e.Path)}
			}
			return nil
		},
	}
	t.operatorFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&s.action, "action", string(policy.Read), "read, list, write, invalidate, revoke or approve")
	flags.StringVar(&s.version, "version", "", "version that is asked for")
	flags.StringVar(&s.scope, "scope", "", "scopes of the token; default: just what the request needs")
	flags.StringVar(&s.subject, "subject", "local", "sub of the identity")
	flags.StringVar(&s.trust, "trust", "local", "trust rule that took the token")
	flags.StringVar(&s.issuer, "issuer", "", "iss of the identity")
	flags.StringArrayVar(&s.claims, "claim", nil, "claim NAME=VALUE, any number of times")
	flags.StringVar(&s.sourceIP, "source-ip", "127.0.0.1", "address that the request comes from")
	flags.StringVar(&s.surface, "surface", "native", "listener that it comes to")
	flags.StringVar(&s.userAgent, "user-agent", "", "User-Agent")
	flags.StringVar(&s.at, "time", "", "when, in RFC 3339; default: now")
	outputFlag(cmd, &output)
	return cmd
}

func (s *supposed) request(path secret.Path, now time.Time) (policy.Request, error) {
	action := policy.Action(s.action)
	if !action.Valid() {
		return policy.Request{}, usage("--action %q: want read, list, write, invalidate, revoke or approve", s.action)
	}
	version, err := secret.ParseVersion(s.version)
	if err != nil {
		return policy.Request{}, usage("--version: %w", err)
	}
	if version == secret.Current {
		version = ""
	}
	if s.scope == "" {
		s.scope = policy.Scope{Action: action, Pattern: secret.Exactly(path)}.String()
	}
	scopes, err := policy.ParseScopes(s.scope)
	if err != nil {
		return policy.Request{}, usage("--scope: %w", err)
	}
	if _, err := netip.ParseAddr(s.sourceIP); err != nil {
		return policy.Request{}, usage("--source-ip %q: want an address such as 192.0.2.1", s.sourceIP)
	}
	if s.at != "" {
		if now, err = time.Parse(time.RFC3339, s.at); err != nil {
			return policy.Request{}, usage("--time %q: want a time such as 2026-11-21T10:00:00Z", s.at)
		}
	}
	claims, err := parseClaims(s.claims)
	if err != nil {
		return policy.Request{}, err
	}
	return policy.Request{
		Action: action, Path: path, Version: version,
		Principal: &policy.Principal{
			Trust: s.trust, Issuer: s.issuer, Subject: s.subject, AuthenticatedBy: "access_token", Scopes: scopes, Claims: claims,
			Expires: now.Add(time.Minute),
		},
		Context: policy.Context{Time: now.UTC(), SourceIP: s.sourceIP, Surface: s.surface, UserAgent: s.userAgent},
	}, nil
}

func parseClaims(texts []string) ([]policy.Pair, error) {
	var out []policy.Pair
	for _, kv := range texts {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" {
			return nil, usage("--claim %q: want NAME=VALUE", kv)
		}
		out = append(out, policy.Pair{Name: name, Value: value})
	}
	slices.SortFunc(out, func(a, b policy.Pair) int { return strings.Compare(a.Name, b.Name) })
	for i := range out {
		if i > 0 && out[i].Name == out[i-1].Name {
			return nil, usage("--claim %s is given twice", out[i].Name)
		}
	}
	return out, nil
}

// explained is the answer, in the order of the decision: scopes, then policies.
func explained(r *policy.Request, d policy.Decision) evaluated {
	e := evaluated{Path: r.Path.String(), Action: string(r.Action), Mount: r.Mount, Labels: map[string]string{}, PolicyDigest: d.Digest}
	for _, l := range r.Labels {
		e.Labels[l.Name] = l.Value
	}
	if !r.Principal.Scopes.Allows(r.Action, r.Path) {
		e.Effect, e.Code, e.Reason, e.PolicyDigest = policy.Deny.String(), api.ScopeDenied, "no scope covers this action on this path", ""
		return e
	}
	e.Effect, e.Rule, e.Reason = d.Effect.String(), d.Rule, d.Reason
	switch d.Effect {
	case policy.Allow:
	case policy.RequireApproval:
		e.Code = api.ApprovalRequired
	default:
		e.Code = api.PolicyDenied
	}
	if d.Fault != nil {
		e.Fault = d.Fault.Error()
	}
	return e
}

func (e *evaluated) print(cmd *cobra.Command, output string) error {
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), e)
	}
	labels := make([]string, 0, len(e.Labels))
	for name, value := range e.Labels {
		labels = append(labels, name+"="+value)
	}
	slices.Sort(labels)
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	var errs []error
	for _, row := range [][2]string{
		{"effect", e.Effect},
		{"code", string(e.Code)},
		{"rule", e.Rule},
		{"reason", e.Reason},
		{"fault", e.Fault},
		{"mount", e.Mount},
		{"labels", strings.Join(labels, " ")},
		{"policy", e.PolicyDigest},
	} {
		if row[1] != "" {
			_, err := fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, w.Flush())...)
}
