package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// publishTimeout is how long a running server may take to publish a new key: it looks at its files each second.
const publishTimeout = 15 * time.Second

func keyCommand() *cobra.Command {
	return group("key", "Make keys of clients, and rotate the key that signs tokens", keyNewCommand(), keyRotateCommand())
}

func keyRotateCommand() *cobra.Command {
	var t target
	var output string
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Sign tokens with a new key; those of the old key stay valid until they expire",
		Long: `Replace identity.signing_key, the key that signs access tokens, by a new one. Tokens that the old key signed stay
valid until they expire: its public half stays in identity.keys for identity.max_ttl and 30 seconds, with an end (exp)
that servers keep by themselves, so that nothing has to be removed later. The old private key is deleted.

A running server takes the new key by itself and drops no request; the command waits for that before it signs with the
new key. Other servers that have a copy of the public keys need the new ones before they are shown new tokens. A
rotation that was interrupted is finished by the next one.

This rotates neither the master key of a vault (keyhole vault rekey) nor the audit key.`,
		Args: args(0, 0, "keyhole key rotate"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(&t)
			if err != nil {
				return err
			}
			lock, server, err := lockOrFind(cmd.Context(), c.Dir)
			if err != nil {
				return err
			}
			published := func(string) error { return nil }
			if lock == nil {
				published = func(id string) error { return awaitKey(cmd.Context(), c, &t.tls, server, id) }
			} else {
				defer func() { _ = lock.Release() }()
			}
			var r app.Rotation
			err = operate(cmd.Context(), c, audit.ActionKeyRotate, func() (what string, err error) {
				r, err = app.RotateSigningKey(c, time.Now(), published)
				return "from " + r.Retired + " to " + r.KeyID, err
			})
			if err != nil {
				return err
			}
			return printRotation(cmd, r, output)
		},
	}
	t.operatorFlags(cmd)
	t.tls.addIdentity(cmd)
	outputFlag(cmd, &output)
	return cmd
}

// operate makes a change between its records in the command line's own log.
func operate(ctx context.Context, c *config.Config, action string, change func() (string, error)) error {
	file, err := cliAudit(c)
	if err != nil {
		return err
	}
	return app.Operate(ctx, c, os.Getenv, file, action, change)
}

// awaitKey waits until the running server publishes the key: until then it would refuse its tokens.
func awaitKey(ctx context.Context, c *config.Config, identity *tlsFlags, server devdir.Server, id string) error {
	transport, err := identity.serverTransport(c)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	for {
		var there bool
		if there, err = publishes(ctx, client, server.Native, id); there {
			return nil
		}
		if refusesIdentity(err, identity.lacksIdentity(c)) {
			return &failure{code: exitUnavailable, err: fmt.Errorf("asking the running server (process %d) for its keys: %w", server.PID, err), hint: certificateHint}
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = errors.New("it still publishes the keys it had")
			}
			return &failure{
				code: exitUnavailable,
				err:  fmt.Errorf("the running server (process %d) does not take the new key, so the old one goes on signing: %w", server.PID, err),
				hint: `see the server's log for the reason, then run "keyhole key rotate" again; or stop the server first`,
			}
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func publishes(ctx context.Context, client *http.Client, base, id string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/.well-known/jwks.json", nil)
	if err != nil {
		return false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	keys, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	return bytes.Contains(keys, []byte(`"`+id+`"`)), err
}

func printRotation(cmd *cobra.Command, r app.Rotation, output string) error {
	until := r.Until.UTC().Format(time.RFC3339)
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), struct {
			KeyID    string `json:"key_id"`
			Retired  string `json:"retired_key_id"`
			Until    string `json:"retired_key_ends"`
			Finished bool   `json:"finished_earlier_rotation"`
		}{r.KeyID, r.Retired, until, r.Finished})
	}
	what := "tokens are signed with a new key"
	if r.Finished {
		what = "an interrupted rotation is finished; run it again for another key"
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\nthe old key %s verifies until %s\n", what, r.KeyID, r.Retired, until)
	return err
}
