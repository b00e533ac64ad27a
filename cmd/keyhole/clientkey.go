package main

import (
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/audit"
)

const maxKeyBytes = 64 << 10

// clientNames are those that can be the name of a trust rule as well, and need no quotes in a shell.
var clientNames = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func keyNewCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "new CLIENT",
		Short: "Make the key of a client, for platforms that give their workloads no identity",
		Long: `Make an Ed25519 key with which a client proves who it is (private_key_jwt, RFC 7523). The private half is printed on
standard output, one line, for a sealed variable KEYHOLE_KEY of the client's platform; what to do with the public half
is printed on standard error. Neither is kept.

With --out the private half goes into a new file of mode 0600, and the public half is printed on standard output:

  keyhole key new worker --out worker.key | keyhole trust add-key worker

The line is a private JWK (RFC 8037) with the member client_id besides: any JOSE library signs with it.`,
		Args: args(1, 1, "keyhole key new CLIENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !clientNames.MatchString(args[0]) {
				return usage("client %q: want 1 to 64 letters, digits, _ . and -", args[0])
			}
			key, err := app.NewClientKey(args[0])
			if err != nil {
				return err
			}
			return printClientKey(cmd, key, out)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "new file for the private half, in place of standard output")
	return cmd
}

// printClientKey prints the half that is piped on, or pasted, alone; the rest is for a person.
func printClientKey(cmd *cobra.Command, key *app.ClientKey, out string) error {
	public, err := key.Public()
	if err != nil {
		return err
	}
	where, line := out, public
	if out == "" {
		where = "the output below, which is shown this once"
		line, err = key.Private()
		defer clear(line)
	} else {
		err = app.WriteClientKey(key, out)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.ErrOrStderr(), `key %[2]s of client %[1]s

For the client: put the line in %[3]s,
into a sealed variable KEYHOLE_KEY, and the URL of the server into KEYHOLE_URL.

For the server, in keyhole.yaml under identity.trust, unless it is there:

    - name: %[1]s
      template: key
      with: {client_id: %[1]s}
      jwks: file:keys/%[1]s.jwks.json
      map: {scope: ["read:web/production/*"]}

and on its machine:

  keyhole trust add-key %[1]s '%[4]s'

`, key.ClientID(), key.KeyID(), where, public)
	if err == nil {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
	}
	return err
}

func trustAddKeyCommand() *cobra.Command {
	var t target
	var file, output string
	cmd := &cobra.Command{
		Use:   "add-key RULE [JWK]",
		Short: "Register the public key of a client with a trust rule",
		Long: `Add a public key to the file of a trust rule of template key, the one that the rule names as jwks. The file is made
where there is none. The key is the argument, in --file, or on standard input: the JWK that "keyhole key new" printed,
or that of any Ed25519 key.

A running server takes it within two seconds, without a restart. To end a key remove it from the file, which is seen as
well, or revoke it at once with "keyhole revoke --key-id".`,
		Args: args(1, 2, "keyhole trust add-key RULE [JWK]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && file != "" {
				return usage("a key as argument and --file exclude each other")
			}
			jwk, err := keyText(cmd, args[1:], file)
			if err != nil {
				return err
			}
			defer clear(jwk)
			if len(jwk) == 0 {
				return usage("no key; want the line that keyhole key new printed for the server")
			}
			c, err := loadConfig(&t)
			if err != nil {
				return err
			}
			var added app.ClientKeyAdded
			err = operate(cmd.Context(), c, audit.ActionTrustKey, func() (what string, err error) {
				added, err = app.AddClientKey(c, args[0], jwk)
				return "key_id " + added.KeyID + " for rule " + args[0], err
			})
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), struct {
					KeyID string `json:"key_id"`
					Rule  string `json:"rule"`
					File  string `json:"file"`
					Keys  int    `json:"keys"`
				}{added.KeyID, args[0], added.File, added.Keys})
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "key %s is one of %d of rule %s, in %s\na running server takes it within two seconds\n", added.KeyID, added.Keys, args[0], added.File)
			return err
		},
	}
	t.operatorFlags(cmd)
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&file, "file", "", "file with the public key, a JWK")
	return cmd
}

// keyText is the key of the argument, of a file or of standard input.
func keyText(cmd *cobra.Command, argument []string, file string) ([]byte, error) {
	if len(argument) == 1 {
		return []byte(argument[0]), nil
	}
	in := cmd.InOrStdin()
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, maxKeyBytes))
}
