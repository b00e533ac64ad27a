package main

import (
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func rollbackCommand() *cobra.Command {
	var t target
	var output string
	cmd := &cobra.Command{
		Use:   "rollback PATH VERSION",
		Short: "Write the value of an earlier version as a new one",
		Long: `Write the value of an earlier version ("previous", or one that "keyhole versions" shows) as a new version. The
secret keeps its metadata. Where somebody writes at the same time, one of the two is refused.`,
		Args: args(2, 2, "keyhole rollback PATH VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := parsePath(args[0])
			if err != nil {
				return err
			}
			version, err := secret.ParseVersion(args[1])
			if err != nil || args[1] == "" || version == secret.Current {
				return usage("version %q: want previous, or a version that keyhole versions shows", args[1])
			}
			body, err := json.Marshal(map[string]string{"version": string(version)})
			if err != nil {
				return err
			}
			answer, err := t.ask(cmd.Context(), policy.WriteTo, http.MethodPost, path, ":rollback", body)
			if err != nil {
				return err
			}
			return printWritten(cmd, answer, output)
		},
	}
	t.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}
