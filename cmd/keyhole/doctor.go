package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app/doctor"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
)

func doctorCommand() *cobra.Command {
	var t target
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong with a set-up, and what to do",
		Long: `Look at a set-up as "keyhole serve" does, whether its server runs or not: configuration, permissions, clock, ports,
keys, keys of other issuers, disk, policy, audit sinks in AWS, upstreams. One line each: ok, warn or fail, what, where,
and what to do. Nothing is changed and no secret is shown. Exits 1 where anything fails, 0 otherwise.`,
		Args: args(0, 0, "keyhole doctor [--dir DIR | --config FILE]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := t.configFile(); err != nil {
				return err
			}
			found := doctor.Examine(cmd.Context(), doctor.Config{Drivers: full.Drivers(), File: t.file()})
			if err := printFindings(cmd, found, output); err != nil {
				return err
			}
			if doctor.Worst(found) == doctor.Fail {
				return errors.New("the set-up does not work as it is")
			}
			return nil
		},
	}
	t.operatorFlags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func printFindings(cmd *cobra.Command, found []doctor.Finding, output string) error {
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), found)
	}
	for _, f := range found {
		line := fmt.Sprintf("%-4s  %-13s  %s", f.Status, f.Check, f.What)
		if f.Where != "" {
			line += " (" + f.Where + ")"
		}
		if f.Fix != "" {
			line += "; " + f.Fix
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), strings.ReplaceAll(line, "\n", " ")); err != nil {
			return err
		}
	}
	return nil
}
