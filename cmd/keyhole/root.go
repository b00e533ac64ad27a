package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"
)

func root() *cobra.Command {
	cmd := group("keyhole", "A regional edge proxy for secrets",
		devCommand(), serveCommand(), getCommand(), setCommand(), listCommand(),
		deleteCommand(), versionsCommand(), rollbackCommand(),
		tokenCommand(), trustCommand(), policyCommand(), auditCommand(), configCommand(),
		keyCommand(), revokeCommand(), vaultCommand(), doctorCommand(), versionCommand(),
	)
	cmd.Long = `Keyhole serves secrets close to where they are used: it verifies who asks, lets a WebAssembly
policy decide every request, records it tamper-evidently, and only then lets the value out.

Exit codes: 0 ok, 1 failed, 2 usage, 3 denied, 4 not found, 5 unavailable or rate limited.`
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	return cmd
}

// args checks the number of arguments; cobra's own errors would exit 1.
func args(least, most int, form string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usage("%s: want %s", cmd.CommandPath(), form)
		}
		return nil
	}
}

// group is a command that does nothing itself.
func group(use, short string, sub ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage("%s: unknown command %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
		}
		return cmd.Help()
	}}
	cmd.AddCommand(sub...)
	return cmd
}

// logger writes to stderr, from a level on that can be changed; nothing secret ever gets there.
func logger(level, format string) (*slog.Logger, *slog.LevelVar, error) {
	l := new(slog.LevelVar)
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, nil, usage("--log-level %q: want debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l}
	if format == "text" {
		return slog.New(slog.NewTextHandler(os.Stderr, options)), l, nil
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options)), l, nil
}
