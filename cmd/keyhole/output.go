package main

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode"

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

// legible is s as a terminal may show it. Subjects and reasons come from others, and what is not printed, such as the
// controls of bidirectional text, would make a line look as if it said something else.
func legible(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
