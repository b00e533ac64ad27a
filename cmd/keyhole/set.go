package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// writeRequest is the body of a PUT.
type writeRequest struct {
	Value     *string            `json:"value,omitempty"`
	Encoding  string             `json:"encoding,omitempty"`
	Metadata  *map[string]string `json:"metadata,omitempty"`
	IfVersion string             `json:"if_version,omitempty"`
}

func setCommand() *cobra.Command {
	var t target
	var file, ifVersion, output string
	var meta []string
	cmd := &cobra.Command{
		Use:   "set PATH",
		Short: "Write a new version of a secret",
		Long: `Write a new version of a secret. The value comes from standard input, from --file, or is asked for
without echo on a terminal; its bytes are kept exactly. "set PATH VALUE" works in a directory of
keyhole dev only: command lines are visible to other processes and stay in shell histories.`,
		Args: args(1, 2, `keyhole set PATH, with the value on standard input (in a "keyhole dev" directory also keyhole set PATH VALUE)`),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			path, err := parsePath(args[0])
			if err != nil {
				return err
			}
			if v, err := secret.ParseVersion(ifVersion); ifVersion != "" && (err != nil || v == secret.Current || v == secret.Previous) {
				return usage("--if-version %q: want the number of a version, or 0", ifVersion)
			}
			if len(args) == 2 {
				if err := t.resolve(); err != nil {
					return err
				}
				if !t.isDev() {
					return usage("a value on the command line is visible to every process; send it on standard input or with --file")
				}
				if file != "" {
					return usage("a value and --file exclude each other")
				}
			}
			body, err := writeBody(cmd, args, file, meta, ifVersion)
			if err != nil {
				return err
			}
			defer clear(body)
			c, err := t.client(cmd.Context(), policy.Scope{Action: policy.WriteTo, Pattern: secret.Exactly(path)}.String())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.close()) }()
			_, answer, err := c.do(cmd.Context(), http.MethodPut, secretURL(path.String()), body)
			if err != nil {
				return err
			}
			if c.config != nil {
				warnOfClassification(cmd, meta, app.Labels(c.config, path))
			}
			return printWritten(cmd, answer, output)
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "read the value from this file")
	cmd.Flags().StringArrayVar(&meta, "meta", nil, "metadata NAME=VALUE, any number of times; replaces what is stored")
	cmd.Flags().StringVar(&ifVersion, "if-version", "", `write only if this is the current version ("0": only if the secret does not exist)`)
	outputFlag(cmd, &output)
	return cmd
}

func writeBody(cmd *cobra.Command, args []string, file string, meta []string, ifVersion string) ([]byte, error) {
	value, err := readValue(cmd, args, file)
	if err != nil {
		return nil, err
	}
	defer clear(value)
	req := writeRequest{IfVersion: ifVersion}
	text := string(value)
	if !utf8.Valid(value) {
		text, req.Encoding = base64.StdEncoding.EncodeToString(value), "base64"
	}
	req.Value = &text
	if len(meta) > 0 {
		m := map[string]string{}
		for _, kv := range meta {
			k, v, ok := strings.Cut(kv, "=")
			if !ok || k == "" {
				return nil, usage("--meta %q: want NAME=VALUE", kv)
			}
			m[k] = v
		}
		req.Metadata = &m
	}
	return json.Marshal(req)
}

// warnOfClassification tells who writes classification=… into metadata that policies see the label, where that is another.
func warnOfClassification(cmd *cobra.Command, meta []string, labels []policy.Pair) {
	for _, kv := range meta {
		name, said, _ := strings.Cut(kv, "=")
		if name != "classification" {
			continue
		}
		label, ok := policy.Lookup(labels, name)
		switch {
		case !ok:
			label = "none"
		case label == said:
			continue
		}
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "note: policies do not see metadata; the classification of this path is %s, by the labels of the configuration, not %.40q\n", label, said)
	}
}

// readValue takes the value from where the user put it, exactly.
func readValue(cmd *cobra.Command, args []string, file string) ([]byte, error) {
	if len(args) == 2 {
		return []byte(args[1]), nil
	}
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); file == "" && ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(cmd.ErrOrStderr(), "value (not shown): ")
		b, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(cmd.ErrOrStderr())
		return b, err
	}
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	// One buffer, read into once: a growing one would leave copies of the value in memory.
	buf := make([]byte, secret.MaxValueBytes+1)
	n, err := io.ReadFull(in, buf)
	switch {
	case err == nil:
		clear(buf)
		return nil, usage("the value is larger than %d bytes", secret.MaxValueBytes)
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		clear(buf)
		return nil, fmt.Errorf("reading the value: %w", err)
	}
	if n > 0 && buf[n-1] == '\n' {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "note: the value ends with a newline, which is kept; printf sends none")
	}
	return buf[:n], nil
}

func printWritten(cmd *cobra.Command, answer []byte, output string) error {
	if output == "json" {
		_, err := cmd.OutOrStdout().Write(answer)
		return err
	}
	var w api.Written
	if err := json.Unmarshal(answer, &w); err != nil {
		return errors.New("the server's answer is not that of a write")
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "%s is now version %s\n", w.Data.Path, w.Data.Version)
	return err
}
