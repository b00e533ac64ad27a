package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
)

// What a new directory holds, and what the printed token may do.
const (
	seedPath  = "web/production/STRIPE_KEY"
	seedBody  = `{"value":"sk_test_keyhole_demo_not_a_real_key","metadata":{"owner":"payments"},"if_version":"0"}`
	devScopes = "read:web/production/** list:web/production/**"
	devBase   = "web/production"
)

func devCommand() *cobra.Command {
	var f serverFlags
	var dir string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine, without any set-up",
		Long: `Run a server with an embedded vault in a directory of its own, made when missing, with one example
secret in it. It prints a curl line that works. Everything stays in the directory for the next start. It reloads as
"keyhole serve" does, and ends where its terminal is closed.`,
		Args: args(0, 0, "keyhole dev [--dir DIR]"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := devdir.Create(dir, f.listen); err != nil {
				return err
			}
			ctx, reload, stop := hangups(cmd.Context())
			defer stop()
			return runServer(ctx, filepath.Join(dir, devdir.ConfigFile), f, reload, func(r *running) error {
				return devdir.Once(dir, func() error { return seed(ctx, r) })
			}, func(r *running) error { return greet(ctx, cmd.OutOrStdout(), r) })
		},
	}
	cmd.Flags().StringVar(&dir, "dir", defaultDir, "directory to work in")
	f.add(cmd)
	return cmd
}

// seed writes the example secret the way every secret is written: decided and recorded. A conflict means that an
// earlier start was ended between the write and the note of it.
func seed(ctx context.Context, r *running) (err error) {
	token, err := app.Issue(r.config, os.Getenv, app.TokenRequest{Scope: "write:" + seedPath, Subject: "dev", TTL: seedTTL})
	if err != nil {
		return err
	}
	c, err := newClient("http://in-process.invalid", token, r.app.InProcess())
	if err != nil {
		return err
	}
	status, _, err := c.do(ctx, http.MethodPut, secretURL(seedPath), []byte(seedBody))
	if status == http.StatusConflict {
		return nil
	}
	if err != nil {
		return fmt.Errorf("seeding the example secret: %w", err)
	}
	return nil
}

func greet(ctx context.Context, w io.Writer, r *running) error {
	token, err := app.Issue(r.config, os.Getenv, app.TokenRequest{
		Scope: devScopes, Base: devBase, Subject: "dev", TTL: min(devTTL, r.config.Identity.MaxTTL),
	})
	if err != nil {
		return err
	}
	if err := recordIssued(ctx, r.config, devScopes, "dev"); err != nil {
		return err
	}
	options, url, err := curlOptions(r.config, r.native)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `Keyhole is serving on %s

  curl %s-H "Authorization: Bearer %s" \
    %s/v1/secrets/%s

audit log  %s
policy     %s (%s)
`, r.native, options, token, url, seedPath, r.config.Abs(auditFile(r.config)), policyNames(r.config), r.app.PolicyDigest())
	return err
}

func auditFile(c *config.Config) string {
	if f := auditSink(c); f != nil {
		return f.Path
	}
	return ""
}

func auditSink(c *config.Config) *config.SinkFile {
	for _, s := range c.Audit.Sinks {
		if s.File != nil {
			return s.File
		}
	}
	return nil
}

func policyNames(c *config.Config) string {
	var names []string
	for _, p := range c.Policy.Chain {
		names = append(names, p.Bundle.String())
	}
	return strings.Join(names, ", ")
}

var errNoAudit = errors.New("the configuration has no audit file")
