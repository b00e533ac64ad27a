package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const defaultDir = ".keyhole"

// target says which Keyhole a command speaks to: one at a URL, or that of a directory or configuration file.
type target struct {
	dir    string
	config string
	url    string
	token  string
	key    *app.ClientKey // that gets a token at the URL where none is given; may be nil
	tls    tlsFlags
}

func (t *target) operatorFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.dir, "dir", "", `directory of "keyhole dev" (default "`+defaultDir+`")`)
	cmd.Flags().StringVar(&t.config, "config", "", "configuration file of a server on this machine")
}

func (t *target) flags(cmd *cobra.Command) {
	t.operatorFlags(cmd)
	cmd.Flags().StringVar(&t.url, "url", "", "URL of a Keyhole server (KEYHOLE_URL)")
	cmd.Flags().StringVar(&t.token, "token", "", "token to send to it (KEYHOLE_TOKEN, or one that KEYHOLE_KEY gets)")
	t.tls.add(cmd)
}

// resolve settles which of the ways is meant. A way given as a flag wins over the environment.
func (t *target) resolve() (err error) {
	given := 0
	for _, v := range []string{t.dir, t.config, t.url} {
		if v != "" {
			given++
		}
	}
	if given > 1 {
		return usage("--dir, --config and --url exclude each other")
	}
	if given == 0 {
		t.url = os.Getenv("KEYHOLE_URL")
	}
	if given == 0 && t.url == "" {
		t.config = os.Getenv("KEYHOLE_CONFIG")
	}
	if t.url != "" {
		if t.token == "" {
			t.token = os.Getenv("KEYHOLE_TOKEN")
		}
		if t.token == "" {
			t.key, err = clientKey()
		}
		if err == nil && t.token == "" && t.key == nil {
			err = usage("no token for %s; set KEYHOLE_TOKEN or KEYHOLE_KEY, or use --token", t.url)
		}
		return err
	}
	if t.token != "" {
		return usage("--token goes with --url; a directory has its own key")
	}
	if t.config == "" && t.dir == "" {
		t.dir = defaultDir
	}
	return nil
}

// isDev reports whether the target is a directory, where values may be given on the command line.
func (t *target) isDev() bool { return t.url == "" && t.config == "" }

func (t *target) file() string {
	if t.config != "" {
		return t.config
	}
	return filepath.Join(t.dir, devdir.ConfigFile)
}

// load reads the configuration of a target that is not a URL.
func (t *target) load() (*config.Config, error) {
	c, err := full.Drivers().Load(t.file(), os.Environ())
	if errors.Is(err, fs.ErrNotExist) && t.isDev() {
		return nil, &failure{
			code: exitFailed, err: fmt.Errorf("%s is no directory of keyhole dev: %w", t.dir, err),
			hint: `run "keyhole dev" first, or name a server with --url or KEYHOLE_URL`,
		}
	}
	return c, err
}

// client connects to the target. scopes are what a token of the directory's own key, or one that the caller's key gets,
// must permit; at a URL the caller's token decides. The client must be closed.
func (t *target) client(ctx context.Context, scopes string) (*client, error) {
	if err := t.resolve(); err != nil {
		return nil, err
	}
	if t.url != "" {
		c, err := t.remote()
		if err == nil && t.key != nil {
			err = c.grant(ctx, t.key, scopes)
		}
		return c, err
	}
	c, err := t.load()
	if err != nil {
		return nil, err
	}
	token, err := app.Issue(c, os.Getenv, app.TokenRequest{Scope: scopes, Subject: "cli", TTL: time.Minute})
	if err != nil {
		return nil, err
	}
	return t.local(ctx, c, token)
}

// holder is client for a command that acts as the holder of a token, wherever it connects to.
func (t *target) holder(ctx context.Context, token string) (*client, error) {
	if t.url == "" && t.dir == "" && t.config == "" {
		t.url = os.Getenv("KEYHOLE_URL")
	}
	if t.url != "" {
		t.token = token
	}
	if err := t.resolve(); err != nil {
		return nil, err
	}
	if t.url != "" {
		return t.remote()
	}
	c, err := t.load()
	if err != nil {
		return nil, err
	}
	return t.local(ctx, c, token)
}

// remote connects to the URL.
func (t *target) remote() (*client, error) {
	transport, err := t.tls.remoteTransport()
	if err != nil {
		return nil, err
	}
	return newClient(t.url, t.token, transport)
}

// admin connects to the admin listener of a directory's server, with a token of its own key.
func (t *target) admin(ctx context.Context, c *config.Config, scopes string) (*client, error) {
	token, err := app.Issue(c, os.Getenv, app.TokenRequest{Scope: scopes, Subject: "cli", TTL: time.Minute})
	if errors.Is(err, app.ErrTokenRequest) {
		return nil, usage("%w", err)
	}
	if err != nil {
		return nil, err
	}
	return t.connect(ctx, c, func(server devdir.Server) (*client, error) {
		if server.Admin == "" {
			return nil, &failure{
				code: exitFailed, hint: "set listen.admin, or stop the server",
				err: fmt.Errorf("process %d is the server, and its admin listener is off", server.PID),
			}
		}
		return newClient(server.Admin, token, &http.Transport{Proxy: nil})
	}, func(a *app.App) (*client, error) {
		return newClient("http://in-process.invalid", token, a.AdminInProcess())
	})
}

// local connects to the server of a configuration.
func (t *target) local(ctx context.Context, c *config.Config, token string) (*client, error) {
	return t.connect(ctx, c, func(server devdir.Server) (*client, error) {
		transport, err := t.tls.serverTransport(c)
		if err != nil {
			return nil, err
		}
		cl, err := newClient(server.Native, token, transport)
		if err == nil {
			cl.lacking = t.tls.lacksIdentity(c)
		}
		return cl, err
	}, func(a *app.App) (*client, error) { return newClient("http://in-process.invalid", token, a.InProcess()) })
}

// connect finds the server of a configuration, or builds one in process where none runs.
func (t *target) connect(
	ctx context.Context, c *config.Config, remote func(devdir.Server) (*client, error), inProcess func(*app.App) (*client, error),
) (*client, error) {
	lock, server, err := lockOrFind(ctx, c.Dir)
	if err != nil {
		return nil, err
	}
	if lock == nil {
		cl, err := remote(server)
		if err == nil {
			cl.config = c
		}
		return cl, err
	}
	a, err := app.New(ctx, c, full.Drivers(), app.Options{Surface: "cli"})
	if err == nil {
		err = a.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	cl, err := inProcess(a)
	if err != nil {
		return nil, errors.Join(err, a.Close(), lock.Release())
	}
	cl.config = c
	cl.close = func() error { return errors.Join(a.Close(), lock.Release()) }
	return cl, nil
}

// ask sends one request about a secret. action is what a token of the directory's own key must permit; verb follows the path.
func (t *target) ask(ctx context.Context, action policy.Action, method string, path secret.Path, verb string, body []byte) (answer []byte, err error) {
	c, err := t.client(ctx, policy.Scope{Action: action, Pattern: secret.Exactly(path)}.String())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	_, answer, err = c.do(ctx, method, secretURL(path.String())+verb, body)
	return answer, err
}

// lockOrFind takes the directory's lock, or finds the server that holds it. A holder without an announced address is
// starting, stopping, or a command like this one: it is waited for.
func lockOrFind(ctx context.Context, dir string) (*devdir.Lock, devdir.Server, error) {
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	for {
		lock, err := devdir.TakeLock(dir)
		if err == nil {
			return lock, devdir.Server{}, nil
		}
		if !errors.Is(err, devdir.ErrInUse) {
			return nil, devdir.Server{}, err
		}
		if server, ok, ferr := devdir.Find(dir); ferr == nil && ok {
			return nil, server, nil
		}
		select {
		case <-ctx.Done():
			return nil, devdir.Server{}, ctx.Err()
		case <-deadline.C:
			return nil, devdir.Server{}, &failure{code: exitUnavailable, err: err}
		case <-time.After(20 * time.Millisecond):
		}
	}
}
