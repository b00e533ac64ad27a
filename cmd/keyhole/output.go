package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"
)

// outputFlag adds --output json|table.
func outputFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "output", "o", "table", "form of the output: json or table")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if *to != "json" && *to != "table" {
			return usage("--output %q: want json or table", *to)
		}
		return nil
	}
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
