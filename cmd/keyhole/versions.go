package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

func versionsCommand() *cobra.Command {
	var t target
	var output string
	cmd := &cobra.Command{
		Use:   "versions PATH",
		Short: "Show the versions of a secret, never their values",
		Args:  args(1, 1, "keyhole versions PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := parsePath(args[0])
			if err != nil {
				return err
			}
			body, err := t.ask(cmd.Context(), policy.List, http.MethodGet, path, ":versions", nil)
			if err != nil {
				return err
			}
			if output == "json" {
				_, err = cmd.OutOrStdout().Write(body)
				return err
			}
			var answer api.Versions
			if err := json.Unmarshal(body, &answer); err != nil {
				return errors.New("the server's answer is not a list of versions")
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "VERSION\tSTATE\tCREATED")
			for _, v := range answer.Data {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", v.Version, v.State, v.CreatedAt)
			}
			return w.Flush()
		},
	}
	t.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}
