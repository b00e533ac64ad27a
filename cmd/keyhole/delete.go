package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

func deleteCommand() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "delete PATH",
		Short: "Delete a secret with all its versions",
		Long: `Delete a secret with all its versions. Deleting what does not exist is no error. Version numbers stay used: a
secret that is set again goes on counting.`,
		Args: args(1, 1, "keyhole delete PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := parsePath(args[0])
			if err != nil {
				return err
			}
			if _, err := t.ask(cmd.Context(), policy.WriteTo, http.MethodDelete, path, "", nil); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s is deleted\n", path)
			return err
		},
	}
	t.flags(cmd)
	return cmd
}
