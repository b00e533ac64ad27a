package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
)

func configCommand() *cobra.Command {
	return group("config", "Check, explain and render configuration",
		configValidateCommand(), configExplainCommand(), configSchemaCommand(), configRenderCommand())
}

func configValidateCommand() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check a configuration file, environment overrides included",
		Args:  args(0, 0, "keyhole config validate [--config FILE]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(&t)
			if err != nil {
				return err
			}
			cmd.PrintErrln(t.file() + " is valid")
			// It may be meant for another version or for the functions, which link other drivers.
			if err := full.Drivers().Unsupported(c); err != nil {
				cmd.PrintErrln("but this program would not serve it:\n" + err.Error())
			}
			return nil
		},
	}
	t.operatorFlags(cmd)
	return cmd
}

func configRenderCommand() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Print the configuration as the JSON document that functions read",
		Args:  args(0, 0, "keyhole config render [--config FILE]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(&t)
			if err != nil {
				return err
			}
			out, err := config.Render(c)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
	}
	t.operatorFlags(cmd)
	return cmd
}

func configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Args:  args(0, 0, "keyhole config schema"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := config.JSONSchema()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
	}
}

func configExplainCommand() *cobra.Command {
	var t target
	var output string
	cmd := &cobra.Command{
		Use:   "explain [PREFIX]",
		Short: "Print the configuration in force and where each value comes from",
		Long: `Print every value in force, of the keys that begin with PREFIX, and where it comes from: a place in the file, an
environment variable, or the default. References are shown, but not what they lead to.`,
		Args: args(0, 1, "keyhole config explain [PREFIX] [--config FILE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.configFile(); err != nil {
				return err
			}
			c, doc, err := full.Drivers().LoadDocument(t.file(), os.Environ())
			if err != nil {
				return err
			}
			settings, err := doc.Explain(c)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				settings = slices.DeleteFunc(settings, func(s config.Setting) bool { return !strings.HasPrefix(s.Key, args[0]) })
				if len(settings) == 0 {
					return &failure{code: exitNotFound, err: fmt.Errorf("no value in force has a key that begins with %q", args[0])}
				}
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), settings)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			for _, s := range settings {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", s.Key, s.Value, s.Origin)
			}
			return w.Flush()
		},
	}
	t.operatorFlags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

func loadConfig(t *target) (*config.Config, error) {
	if err := t.configFile(); err != nil {
		return nil, err
	}
	return full.Drivers().Load(t.file(), os.Environ())
}

// configFile settles which file is meant, where only files are.
func (t *target) configFile() error {
	if t.dir == "" && t.config == "" {
		t.config = os.Getenv("KEYHOLE_CONFIG")
	}
	if t.dir != "" && t.config != "" {
		return usage("--dir and --config exclude each other")
	}
	if t.dir == "" && t.config == "" {
		t.dir = defaultDir
	}
	return nil
}
