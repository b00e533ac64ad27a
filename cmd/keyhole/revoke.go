package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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

const revocationsURL = "/v1/revocations"

func revokeCommand() *cobra.Command {
	var t target
	var output, reason, until string
	named := map[api.RevocationKind]*string{}
	cmd := group("revoke", "Refuse a token, a principal, a trust rule, a key or secrets from now on", revokeListCommand(), revokeLiftCommand())
	cmd.Use = "revoke (--token-id | --subject | --trust | --key-id | --secret) NAME --reason TEXT"
	cmd.Long = `Refuse from the next request on what is named, on every node that shares the state store. A revocation of a token
ends when the token cannot be valid any more; the others stay until they are lifted, or until --until.

What was exchanged is signed by this server, with its own key: revoking the key of a platform or a client ends the tokens
that it has signed, and not those that were made from them, which live for identity.max_ttl at most. --trust and
--subject end both.

What depends on how it is asked for cannot undo itself: revoking the trust rule "local" also refuses the tokens that
this command signs with --dir.`
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("keyhole revoke: %q is neither list nor lift; name what is revoked with a flag", args[0])
		}
		body := map[string]string{"reason": reason}
		scope := policy.Scope{Action: policy.Revoke, Pattern: secret.Everything()}
		for kind, name := range named {
			if *name == "" {
				continue
			}
			body[string(kind)] = *name
			if kind != api.RevokeSecret {
				continue
			}
			var err error
			if scope.Pattern, err = secret.ParsePattern(*name); err != nil {
				return usage("--secret: %w", err)
			}
		}
		if len(body) != 2 || reason == "" {
			return usage("want --reason and one of --token-id, --subject, --trust, --key-id and --secret")
		}
		if until != "" {
			end, err := parseEnd(until, time.Now())
			if err != nil {
				return err
			}
			body["until"] = end
		}
		done, err := t.revocation(cmd.Context(), scope.String(), http.MethodPost, revocationsURL, body)
		if err != nil {
			return err
		}
		if err := warnOfNoRule(cmd, &t, done.Data.Trust); err != nil {
			return err
		}
		return printRevocation(cmd, done, "is revoked", output)
	}
	t.flags(cmd)
	outputFlag(cmd, &output)
	for kind, what := range map[api.RevocationKind]string{
		api.RevokeTokenID: "token, by its jti, and those made from it",
		api.RevokeSubject: "principal, by its sub",
		api.RevokeTrust:   "all that a trust rule admits",
		api.RevokeKeyID:   "all that a key has signed, by its kid",
		api.RevokeSecret:  "secrets that the pattern matches, whoever asks",
	} {
		named[kind] = cmd.Flags().String(strings.ReplaceAll(string(kind), "_", "-"), "", what)
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	cmd.Flags().StringVar(&until, "until", "", "when it ends: a duration from now, such as 24h, or an RFC 3339 time")
	return cmd
}

// warnOfNoRule tells that no trust rule of the directory is called so. It is revoked all the same: another node may have the
// rule, or this one had it when a token was made.
func warnOfNoRule(cmd *cobra.Command, t *target, name string) error {
	if name == "" || t.url != "" {
		return nil
	}
	c, err := t.load()
	if err != nil {
		return err
	}
	rules := app.TrustNames(c)
	if slices.Contains(rules, name) {
		return nil
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "warning: no trust rule here is called %s; there are %s\n", legible(name), strings.Join(rules, ", "))
	return err
}

// parseEnd reads a duration from now or a time.
func parseEnd(s string, now time.Time) (string, error) {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d).UTC().Format(time.RFC3339), nil
	}
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return "", usage("--until %q: want a duration such as 24h, or a time such as 2026-12-31T00:00:00Z", s)
	}
	return s, nil
}

func revokeLiftCommand() *cobra.Command {
	var t target
	var output string
	cmd := &cobra.Command{
		Use:   "lift ID",
		Short: "End a revocation",
		Args:  args(1, 1, "keyhole revoke lift ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			target := revocationsURL + "/" + url.PathEscape(args[0])
			done, err := t.revocation(cmd.Context(), "revoke:**", http.MethodDelete, target, nil)
			if err != nil {
				return err
			}
			return printRevocation(cmd, done, "is no longer revoked", output)
		},
	}
	t.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func revokeListCommand() *cobra.Command {
	var t target
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show what is revoked",
		Args:  args(0, 0, "keyhole revoke list"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := t.client(cmd.Context(), "revoke:**")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.close()) }()
			all := api.Revocations{Data: []api.Revocation{}}
			for q := (url.Values{"limit": {"500"}}); ; {
				_, body, err := c.do(cmd.Context(), http.MethodGet, revocationsURL+"?"+q.Encode(), nil)
				if err != nil {
					return err
				}
				var page api.Revocations
				if err := json.Unmarshal(body, &page); err != nil {
					return errors.New("the server's answer is not a list of revocations")
				}
				all.Data = append(all.Data, page.Data...)
				if page.NextPage == "" {
					return printRevocations(cmd, all, output)
				}
				q.Set("page", page.NextPage)
			}
		},
	}
	t.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

// revocation sends one request about a revocation.
func (t *target) revocation(ctx context.Context, scopes, method, target string, body map[string]string) (done api.RevocationAnswer, err error) {
	c, err := t.client(ctx, scopes)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	return c.revocation(ctx, method, target, body)
}

func (c *client) revocation(ctx context.Context, method, target string, body map[string]string) (done api.RevocationAnswer, err error) {
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return done, err
		}
	}
	_, answer, err := c.do(ctx, method, target, text)
	if err != nil {
		return done, err
	}
	if json.Unmarshal(answer, &done) != nil || done.Data.ID == "" {
		return done, errors.New("the server's answer is not a revocation")
	}
	return done, nil
}

func printRevocation(cmd *cobra.Command, done api.RevocationAnswer, became, output string) error {
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), done)
	}
	what, end := revoked(done.Data), ""
	if done.Data.Until != "" && became == "is revoked" {
		end = " until " + done.Data.Until
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "%s %s%s; its id is %s\n", what, became, end, done.Data.ID)
	return err
}

func printRevocations(cmd *cobra.Command, l api.Revocations, output string) error {
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), l)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tREVOKED\tSINCE\tUNTIL\tBY\tREASON")
	for _, r := range l.Data {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, revoked(r), r.CreatedAt, r.Until, legible(r.By), legible(r.Reason))
	}
	return w.Flush()
}

// revoked names what is revoked, as "token_id X".
func revoked(r api.Revocation) string {
	for kind, name := range map[api.RevocationKind]string{
		api.RevokeTokenID: r.TokenID, api.RevokeSubject: r.Subject, api.RevokeTrust: r.Trust,
		api.RevokeKeyID: r.KeyID, api.RevokeSecret: r.Secret,
	} {
		if name != "" {
			return string(kind) + " " + legible(name)
		}
	}
	return "something"
}
