package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
)

const (
	defaultTokenTTL = 15 * time.Minute
	devTTL          = time.Hour
	seedTTL         = time.Minute
	maxTokenBytes   = 8 << 10
)

func tokenCommand() *cobra.Command {
	return group("token", "Create, inspect and revoke tokens", tokenCreateCommand(), tokenInspectCommand(), tokenListCommand(), tokenRevokeCommand())
}

func tokenCreateCommand() *cobra.Command {
	var t target
	var scopes []string
	var base, subject, environment string
	ttl := defaultTokenTTL
	cmd := &cobra.Command{
		Use:   "create --scope ACTION:PATTERN",
		Short: "Make an access token, or a project token, and print it",
		Long: `Sign an access token with the directory's key and print it. It lives for minutes.

With --environment, make a project token: for platforms that give their workloads no identity. It lives for 90 days
unless --ttl says otherwise, and ends at once with "keyhole token revoke" or "keyhole revoke --token-id". The server
keeps only its digest, so it is printed this once.`,
		Args: args(0, 0, "keyhole token create --scope ACTION:PATTERN …"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(scopes) == 0 {
				return usage("no --scope; for example --scope 'read:web/production/*'")
			}
			if environment == "" && cmd.Flags().Changed("environment") {
				return usage("--environment is empty: name one, or leave it out for an access token")
			}
			if err := t.resolve(); err != nil {
				return err
			}
			if t.url != "" {
				return usage("tokens are signed with the key of a directory; use --dir or --config")
			}
			c, err := t.load()
			if err != nil {
				return err
			}
			scope := strings.Join(scopes, " ")
			if environment != "" {
				if !cmd.Flags().Changed("ttl") {
					ttl = defaultProjectTTL
				}
				if !cmd.Flags().Changed("subject") {
					subject = ""
				}
				return createProjectToken(cmd, &t, c, projectTokenSpec{environment, scope, base, subject, int64(ttl / time.Second)})
			}
			token, err := app.Issue(c, os.Getenv, app.TokenRequest{Scope: scope, Base: base, Subject: subject, TTL: ttl})
			if errors.Is(err, app.ErrTokenRequest) {
				return usage("%w", err)
			}
			if err != nil {
				return err
			}
			// The record comes before the token, as everywhere.
			if err := recordIssued(cmd.Context(), c, scope, subject); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	t.operatorFlags(cmd)
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "what the token permits, ACTION:PATTERN; any number of times, or several in one, separated by spaces")
	cmd.Flags().StringVar(&base, "base", "", "path that short names are resolved against")
	cmd.Flags().StringVar(&subject, "subject", "local", "who the token is for")
	cmd.Flags().StringVar(&environment, "environment", "", "make a project token, for this environment: a-z, 0-9 and -")
	cmd.Flags().DurationVar(&ttl, "ttl", defaultTokenTTL, "how long it is valid")
	return cmd
}

// recordIssued appends to the command line's own log: the server holds the other one.
func recordIssued(ctx context.Context, c *config.Config, scope, subject string) error {
	file, err := cliAudit(c)
	if err != nil {
		return err
	}
	return app.RecordIssued(ctx, c, os.Getenv, file, scope, subject)
}

// cliAudit is the command line's own log, beside that of the server.
func cliAudit(c *config.Config) (string, error) {
	sink := auditFile(c)
	if sink == "" {
		return "", errNoAudit
	}
	return filepath.Join(filepath.Dir(c.Abs(sink)), filepath.Base(devdir.CLIAudit)), nil
}

func tokenInspectCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "inspect [TOKEN]",
		Short: "Show what a token says, without verifying it",
		Long:  "Show what a token says. Nothing is verified. Without an argument the token is read from standard input.",
		Args:  args(0, 1, "keyhole token inspect [TOKEN]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := tokenText(cmd, args)
			if err != nil {
				return err
			}
			info, err := app.InspectToken(text)
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), info)
			}
			return printToken(cmd, info)
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

// tokenText is the token of the one argument, or of standard input.
func tokenText(cmd *cobra.Command, args []string) (string, error) {
	if len(args) == 1 {
		return strings.TrimSpace(args[0]), nil
	}
	b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxTokenBytes+2))
	return strings.TrimSpace(string(b)), err
}

func tokenRevokeCommand() *cobra.Command {
	var t target
	var output, reason string
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "End a token that you hold",
		Long: `End a token that you hold, and those that were made from it. Holding it is all that this takes. The token is read
from standard input, so that it stays out of the history of the shell.`,
		Args: args(0, 0, "keyhole token revoke <FILE"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			token, err := tokenText(cmd, nil)
			if err != nil {
				return err
			}
			if token == "" {
				return usage("no token on standard input")
			}
			c, err := t.holder(cmd.Context(), token)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.close()) }()
			_, answer, err := c.do(cmd.Context(), http.MethodGet, "/v1/whoami", nil)
			if err != nil {
				return err
			}
			var who api.Whoami
			if json.Unmarshal(answer, &who) != nil || who.Data.TokenID == "" {
				return errors.New("the server's answer does not say which token this is")
			}
			body := map[string]string{"token_id": who.Data.TokenID, "reason": reason}
			done, err := c.revocation(cmd.Context(), http.MethodPost, revocationsURL, body)
			if err != nil {
				return err
			}
			return printRevocation(cmd, done, "is revoked", output)
		},
	}
	t.operatorFlags(cmd)
	cmd.Flags().StringVar(&t.url, "url", "", "URL of a Keyhole server (KEYHOLE_URL)")
	t.tls.add(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&reason, "reason", "revoked by its holder", "why, for the record")
	return cmd
}

func printToken(cmd *cobra.Command, info app.TokenInfo) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	for _, row := range [][2]string{
		{"issuer", info.Issuer},
		{"subject", info.Subject},
		{"audience", info.Audience},
		{"token id", info.TokenID},
		{"key id", info.KeyID},
		{"trust", info.Trust},
		{"environment", info.Environment},
		{"base", info.Base},
		{"scope", info.Scope},
		{"issued", info.IssuedAt},
		{"expires", info.ExpiresAt},
	} {
		if row[1] != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", row[0], legible(row[1]))
		}
	}
	_, err := fmt.Fprintln(cmd.ErrOrStderr(), "not verified: this is what the token says of itself")
	return errors.Join(w.Flush(), err)
}
