package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// secretAnswer is the value answer of the API, for the command line: its bytes go to the terminal or a pipe.
type secretAnswer struct {
	Data struct {
		Value    *string           `json:"value"`
		Fields   map[string]string `json:"fields"`
		Encoding string            `json:"encoding"`
	} `json:"data"`
}

func getCommand() *cobra.Command {
	var t target
	var version, field, output string
	cmd := &cobra.Command{
		Use:   "get PATH",
		Short: "Print the value of a secret, exactly",
		Long: `Print the value of a secret: its exact bytes, with one newline added on a terminal only.
A secret of fields is printed as one JSON object; --field prints one of them.`,
		Args: args(1, 1, "keyhole get PATH"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			path, err := parsePath(args[0])
			if err != nil {
				return err
			}
			if _, err := secret.ParseVersion(version); err != nil {
				return usage("--version: %w", err)
			}
			c, err := t.client(cmd.Context(), policy.Scope{Action: policy.Read, Pattern: secret.Exactly(path)}.String())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.close()) }()
			q := url.Values{}
			if version != "" {
				q.Set("version", version)
			}
			if field != "" {
				q.Set("field", field)
			}
			where := secretURL(path.String())
			if len(q) > 0 {
				where += "?" + q.Encode()
			}
			_, body, err := c.do(cmd.Context(), http.MethodGet, where, nil)
			if err != nil {
				return err
			}
			defer clear(body)
			if output == "json" {
				_, err = cmd.OutOrStdout().Write(body)
				return err
			}
			return printSecret(cmd, body)
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&version, "version", "", "version to read: a number, current or previous")
	cmd.Flags().StringVar(&field, "field", "", "print one field of a secret of fields")
	outputFlag(cmd, &output)
	return cmd
}

func printSecret(cmd *cobra.Command, body []byte) error {
	var a secretAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return errors.New("the server's answer is not a secret")
	}
	var out []byte
	var err error
	switch {
	case a.Data.Fields != nil:
		out, err = json.Marshal(a.Data.Fields)
	case a.Data.Value == nil:
		err = errors.New("the server's answer holds no value")
	case a.Data.Encoding == "base64":
		out, err = base64.StdEncoding.DecodeString(*a.Data.Value)
	default:
		out = []byte(*a.Data.Value)
	}
	if err != nil {
		return err
	}
	defer clear(out)
	w := cmd.OutOrStdout()
	if _, err := w.Write(out); err != nil {
		return err
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, err = fmt.Fprintln(w)
	}
	return err
}

func parsePath(s string) (secret.Path, error) {
	p, err := secret.ParsePath(s)
	if err != nil {
		return p, usage("%w; a path is like web/production/STRIPE_KEY", err)
	}
	return p, nil
}
