package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/vaultfile"
	"github.com/keyhole-edge/keyhole/proxy/audit"
)

func vaultCommand() *cobra.Command {
	return group("vault", "Back up, restore and rekey the embedded vault", vaultBackupCommand(), vaultRestoreCommand(), vaultRekeyCommand())
}

// vaultTarget is an embedded vault of a configuration.
type vaultTarget struct {
	target
	upstream string
}

func (t *vaultTarget) flags(cmd *cobra.Command) {
	t.operatorFlags(cmd)
	cmd.Flags().StringVar(&t.upstream, "upstream", "", "name of the vault in the configuration, where there are several")
}

func (t *vaultTarget) load() (*config.Config, vaultfile.File, error) {
	c, err := loadConfig(&t.target)
	if err != nil {
		return nil, vaultfile.File{}, err
	}
	f, err := vaultfile.Find(c, t.upstream, os.Getenv)
	return c, f, asUsage(err)
}

// offline also takes the directory's lock. A server must not run.
func (t *vaultTarget) offline(ctx context.Context) (*config.Config, vaultfile.File, *devdir.Lock, error) {
	c, f, err := t.load()
	if err != nil {
		return nil, f, nil, err
	}
	lock, server, err := lockOrFind(ctx, c.Dir)
	if err != nil {
		return nil, f, nil, err
	}
	if lock == nil {
		return nil, f, nil, &failure{
			code: exitFailed, hint: "stop the server first; nothing was changed",
			err: fmt.Errorf("%w: process %d serves %s on %s", devdir.ErrInUse, server.PID, c.Dir, server.Native),
		}
	}
	return c, f, lock, nil
}

func vaultBackupCommand() *cobra.Command {
	var t vaultTarget
	var replace bool
	var output string
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a verified copy of the vault to a file",
		Long: `Write a copy of the embedded vault, as it is at one moment, to FILE: of the running server's vault through its admin
listener, while it serves, or of the file itself where no server runs. The copy is as encrypted as the vault, so it can
be read only with the master key, which is not in it: keep that apart. FILE has its name once the copy was opened with the
master key, every entry was read, and all is on disk. Its mode is 0600.`,
		Args: args(1, 1, "keyhole vault backup FILE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if args[0] == "" {
				return usage("FILE is empty")
			}
			c, f, err := t.load()
			if err != nil {
				return err
			}
			lock, server, err := lockOrFind(cmd.Context(), c.Dir)
			if err != nil {
				return err
			}
			save := func(fill func(io.Writer) error) error {
				found, err := f.Save(cmd.Context(), args[0], replace, fill)
				if errors.Is(err, vaultfile.ErrExists) {
					hint := "choose another name"
					if !replace {
						hint += ", or --replace the file"
					}
					err = &failure{code: exitFailed, err: err, hint: hint}
				}
				if err != nil {
					return err
				}
				return printVault(cmd, output, vaultResult{File: args[0], Contents: found}, "the backup "+args[0]+" is verified")
			}
			if lock == nil {
				return save(func(w io.Writer) error { return download(cmd.Context(), c, server, f.Name, w) })
			}
			defer func() { err = errors.Join(err, lock.Release()) }()
			return operate(cmd.Context(), c, audit.ActionBackup, func() (string, error) {
				return "upstream " + f.Name, app.NameHolder(f.Path, save(func(w io.Writer) error { return f.Snapshot(cmd.Context(), w) }), vaultfile.ErrLocked)
			})
		},
	}
	t.flags(cmd)
	cmd.Flags().BoolVar(&replace, "replace", false, "take the place of FILE where it exists")
	outputFlag(cmd, &output)
	return cmd
}

// download has the running server copy its vault.
func download(ctx context.Context, c *config.Config, server devdir.Server, upstream string, w io.Writer) error {
	if server.Admin == "" {
		return &failure{
			code: exitFailed, hint: "set listen.admin, or stop the server",
			err: fmt.Errorf("process %d serves the vault, and its admin listener is off", server.PID),
		}
	}
	token, err := app.Issue(c, os.Getenv, app.TokenRequest{Scope: "read:** list:**", Subject: "cli", TTL: time.Minute})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.Admin+"/v1/vault/backup?upstream="+url.QueryEscape(upstream), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("User-Agent", "keyhole-cli/"+version())
	client := &http.Client{Transport: &http.Transport{Proxy: nil}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return &failure{code: exitUnavailable, err: fmt.Errorf("asking the server: %w", err)}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var e api.ErrorBody
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if json.Unmarshal(text, &e) != nil || e.Error.Code == "" {
			return &failure{code: exitUnavailable, err: fmt.Errorf("%s answered %s, and not as a Keyhole server does", server.Admin, resp.Status)}
		}
		return refused(resp.StatusCode, e.Error)
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return &failure{code: exitUnavailable, err: fmt.Errorf("the copy was cut off: %w", err), hint: "see the server's log"}
	}
	return nil
}

func vaultRestoreCommand() *cobra.Command {
	var t vaultTarget
	var key, output string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the vault; the old file is kept",
		Long: `Put a backup in the place of the embedded vault. No server may run. The backup is only read: every entry of it is
opened and copied, and the copy is read to its end, before it becomes the vault. The old vault keeps a name of its own.
Whatever interrupts the command, the vault is the old one or the restored one.

With --key the backup is opened with another master key, such as one that "keyhole vault rekey" replaced; the restored
vault has the key of the configuration.

What was written after the backup is gone from the vault, and its version numbers will be given again.`,
		Args: args(1, 1, "keyhole vault restore FILE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			c, f, lock, err := t.offline(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, lock.Release()) }()
			var r vaultfile.Restored
			err = operate(cmd.Context(), c, audit.ActionRestore, func() (string, error) {
				r, err = f.Restore(cmd.Context(), args[0], key, time.Now())
				return "upstream " + f.Name, err
			})
			if errors.Is(err, vaultfile.ErrUnfinished) {
				return &failure{code: exitFailed, err: err, hint: `run "keyhole vault rekey" first`}
			}
			if errors.Is(err, vaultfile.ErrWrongKey) {
				return &failure{code: exitFailed, err: err, hint: "name the key that the backup was made with: --key FILE; nothing was changed"}
			}
			if err != nil {
				return app.NameHolder(f.Path, err, vaultfile.ErrLocked)
			}
			text := "the vault is restored from " + args[0]
			if r.Kept != "" {
				text += "; the old one is " + r.Kept
			}
			return printVault(cmd, output, vaultResult{File: f.Path, Kept: r.Kept, Contents: r.Contents}, text)
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&key, "key", "", "file with the master key of the backup; default: that of the vault")
	outputFlag(cmd, &output)
	return cmd
}

func vaultRekeyCommand() *cobra.Command {
	var t vaultTarget
	var output string
	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "Give the vault a new master key; the old key is kept for old backups",
		Long: `Make a new master key and a copy of the vault under it, which is read to its end before it becomes the vault. No server
may run. Nothing in the new file can be opened with the old key. The old key keeps a name of its own, since backups that
were made with it need it; remove it when they are gone.

At every moment the old or the new key opens the vault. After an interruption servers go on with the one that does; run
the command again to finish. The key must be in a file (key: file:PATH).`,
		Args: args(0, 0, "keyhole vault rekey"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, f, lock, err := t.offline(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, lock.Release()) }()
			var r vaultfile.Rekeyed
			err = operate(cmd.Context(), c, audit.ActionRekey, func() (string, error) {
				r, err = f.Rekey(cmd.Context(), time.Now())
				return "upstream " + f.Name, err
			})
			if err != nil {
				return asUsage(app.NameHolder(f.Path, err, vaultfile.ErrLocked))
			}
			text := "the vault has a new master key, " + f.Key.String() + ": make a backup"
			if r.Finished {
				text = "an interrupted rekey is finished: the vault's master key is " + f.Key.String()
			}
			if r.OldKey != "" {
				text += "\nold backups need the old key, which is " + r.OldKey
			}
			return printVault(cmd, output, vaultResult{File: f.Path, Kept: r.OldKey, Finished: r.Finished, Contents: r.Contents}, text)
		},
	}
	t.flags(cmd)
	outputFlag(cmd, &output)
	return cmd
}

// vaultResult is the JSON form of what was done to a vault.
type vaultResult struct {
	File     string             `json:"file"`
	Kept     string             `json:"kept,omitempty"` // the vault or key that was replaced
	Finished bool               `json:"finished_earlier_rekey,omitempty"`
	Contents vaultfile.Contents `json:"contents"`
}

func printVault(cmd *cobra.Command, output string, r vaultResult, text string) error {
	if output == "json" {
		return printJSON(cmd.OutOrStdout(), r)
	}
	if r.Contents.Secrets+r.Contents.Deleted > 0 {
		text += fmt.Sprintf("\n%d secrets with %d versions", r.Contents.Secrets, r.Contents.Versions)
	}
	_, err := fmt.Fprintln(cmd.ErrOrStderr(), text)
	return err
}

func asUsage(err error) error {
	if errors.Is(err, vaultfile.ErrConfig) {
		return usage("%w", err)
	}
	return err
}
