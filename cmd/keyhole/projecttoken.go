package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

const defaultProjectTTL = 90 * 24 * time.Hour

// projectTokenSpec is what a project token is asked for with.
type projectTokenSpec struct {
	Environment string `json:"environment"`
	Scope       string `json:"scope"`
	Base        string `json:"base,omitempty"`
	Subject     string `json:"subject,omitempty"`
	ExpiresIn   int64  `json:"expires_in"`
}

// createProjectToken has the server of a directory make a project token, and prints it, the one time that it is shown.
func createProjectToken(cmd *cobra.Command, t *target, c *config.Config, spec projectTokenSpec) (err error) {
	cl, err := t.admin(cmd.Context(), c, "revoke:** "+spec.Scope)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cl.close()) }()
	body, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	status, answer, err := cl.do(cmd.Context(), http.MethodPost, "/v1/tokens", body)
	if status == http.StatusBadRequest { // all that it says was given here
		return usage("%w", err)
	}
	if err != nil {
		return err
	}
	var made api.CreatedProjectToken
	if json.Unmarshal(answer, &made) != nil || made.Data.Token == "" {
		return errors.New("the server's answer is not a project token")
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s, until %s; it is shown this once: put it into a sealed variable\n", made.Data.TokenID, made.Data.ExpiresAt)
	if err == nil {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), made.Data.Token)
	}
	return err
}

func tokenListCommand() *cobra.Command {
	var t target
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the project tokens, what they permit and when they were used, never the tokens",
		Args:  args(0, 0, "keyhole token list"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := loadConfig(&t)
			if err != nil {
				return err
			}
			cl, err := t.admin(cmd.Context(), c, "revoke:**")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, cl.close()) }()
			_, answer, err := cl.do(cmd.Context(), http.MethodGet, "/v1/tokens", nil)
			if err != nil {
				return err
			}
			var found api.ProjectTokens
			if json.Unmarshal(answer, &found) != nil || found.Data == nil {
				return errors.New("the server's answer is not a list of project tokens")
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), found)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "TOKEN ID\tENVIRONMENT\tSUBJECT\tSCOPE\tEXPIRES\tLAST USED")
			for _, p := range found.Data {
				used := p.LastUsed
				switch {
				case p.Revoked:
					used = "revoked"
				case used == "":
					used = "never"
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.TokenID, p.Environment, legible(p.Subject), p.Scope, p.ExpiresAt, used)
			}
			return w.Flush()
		},
	}
	t.operatorFlags(cmd)
	outputFlag(cmd, &output)
	return cmd
}
