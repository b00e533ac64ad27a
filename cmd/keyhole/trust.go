package main

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app"
)

func trustCommand() *cobra.Command {
	return group("trust", "Work with trust rules", trustTestCommand(), trustAddKeyCommand())
}

func trustTestCommand() *cobra.Command {
	var t target
	var output string
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Say which trust rule takes a token, and why the others do not",
		Long: `Read a token from standard input, verify it with the keys of its issuer, and say which trust rule takes it, with the
scopes and the base it would get; and for every rule that does not take it, the first check that failed. No server is
asked, nothing is recorded, and the token is not shown. Exits 0 where the token is taken and 3 where it is not.`,
		Args: args(0, 0, "keyhole trust test < TOKEN"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxTokenBytes+2))
			if err != nil {
				return err
			}
			token := strings.TrimSpace(string(text))
			if token == "" {
				return usage("no token on standard input; for example: keyhole trust test < token.txt")
			}
			c, err := loadConfig(&t)
			if err != nil {
				return err
			}
			// Why an issuer's keys could not be fetched is for the log, which is here the person who asks.
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			got, err := app.TestToken(cmd.Context(), c, os.Getenv, log, token)
			if err != nil {
				return err
			}
			if err := printTrustTest(cmd, &got, output); err != nil {
				return err
			}
			if !got.Taken {
				return &failure{code: exitDenied, err: fmt.Errorf("the token is not taken: %s", got.Problem), hint: got.Hint}
			}
			return nil
		},
	}
	t.operatorFlags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func printTrustTest(cmd *cobra.Command, t *app.TrustTest, output string) error {
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), t)
	}
	var claims []string
	for _, name := range slices.Sorted(maps.Keys(t.Claims)) {
		claims = append(claims, name+"="+t.Claims[name])
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	taken := "no"
	if t.Taken {
		taken = "yes"
	}
	for _, row := range [][2]string{
		{"taken", taken},
		{"rule", t.Rule},
		{"issuer", t.Issuer},
		{"subject", t.Subject},
		{"token id", t.TokenID},
		{"key id", t.KeyID},
		{"scope", t.Scope},
		{"base", t.Base},
		{"claims", strings.Join(claims, " ")},
		{"expires", t.Expires},
	} {
		if row[1] != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", row[0], legible(row[1]))
		}
	}
	if err := w.Flush(); err != nil || len(t.Rules) == 0 {
		return err
	}
	_, _ = fmt.Fprintln(w, "\nRULE\tTAKES IT\tCHECK\tREASON")
	for _, r := range t.Rules {
		verdict := "no"
		if r.Taken {
			verdict = "yes"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Rule, verdict, r.Check, r.Reason)
	}
	return w.Flush()
}
