package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
)

func configCommand() *cobra.Command {
	return group("config", "Check and render configuration", configValidateCommand(), configRenderCommand())
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

func loadConfig(t *target) (*config.Config, error) {
	if t.dir == "" && t.config == "" {
		t.config = os.Getenv("KEYHOLE_CONFIG")
	}
	if t.dir != "" && t.config != "" {
		return nil, usage("--dir and --config exclude each other")
	}
	if t.dir == "" && t.config == "" {
		t.dir = defaultDir
	}
	return full.Drivers().Load(t.file(), os.Environ())
}
