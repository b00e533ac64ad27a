package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
)

// serverFlags are what dev and serve share.
type serverFlags struct {
	listen   string
	logLevel string
}

func (f *serverFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.listen, "listen", "", "address of the native API, HOST:PORT; port 0 takes any free one")
	cmd.Flags().StringVar(&f.logLevel, "log-level", "", "debug, info, warn or error")
}

func serveCommand() *cobra.Command {
	var f serverFlags
	var file string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run a server",
		Long: `Run a server until SIGINT or SIGTERM. It takes policies, keys, labels, limits, the log level and certificates
anew when a file changes, and on SIGHUP; a configuration that is not good is refused, and the log says why.`,
		Args: args(0, 0, "keyhole serve --config FILE"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				file = os.Getenv("KEYHOLE_CONFIG")
			}
			if file == "" {
				return usage("no configuration; use --config FILE or KEYHOLE_CONFIG")
			}
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			nothing := func(*running) error { return nil }
			return runServer(cmd.Context(), file, f, hangup, nothing, nothing)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (KEYHOLE_CONFIG)")
	f.add(cmd)
	return cmd
}

// running is a server that is about to answer.
type running struct {
	app    *app.App
	config *config.Config
	native string // URL
}

// runServer loads, locks, builds, listens, then serves until ctx is done, reloading when the files change or when reload
// receives. prepare runs before anybody is told where the server is, greet after.
func runServer(ctx context.Context, file string, f serverFlags, reload <-chan os.Signal, prepare, greet func(*running) error) (err error) {
	source := full.Drivers().Source(file, f.environ())
	c, err := source.Load()
	if err != nil {
		return err
	}
	log, level, err := logger(c.Log.Level, c.Log.Format)
	if err != nil {
		return err
	}
	lock, server, err := lockOrFind(ctx, c.Dir)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	if lock == nil {
		return &failure{
			code: exitFailed, hint: "stop that process, or use its server",
			err: fmt.Errorf("%w: process %d serves %s on %s", devdir.ErrInUse, server.PID, c.Dir, server.Native),
		}
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if os.Getenv("GOGC") == "" {
		// Little is live and much is short-lived: collecting less often costs some memory and saves a tenth of the time.
		debug.SetGCPercent(400)
	}
	a, err := app.New(ctx, c, full.Drivers(), app.Options{Logger: log, Level: level, Prefetch: os.Getenv(app.PrefetchVariable)})
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := a.Start(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	s, err := a.Listen()
	if err != nil {
		return err
	}
	where := devdir.Server{PID: os.Getpid(), Native: s.NativeURL(), Admin: s.AdminURL(), AWS: s.AWSURL()}
	r := &running{app: a, config: c, native: where.Native}
	if err := prepare(r); err != nil {
		return errors.Join(err, s.Close())
	}
	withdraw, err := devdir.Announce(c.Dir, where)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	defer withdraw()
	if err := greet(r); err != nil {
		return errors.Join(err, s.Close())
	}
	if c.Listen.Native.TLS == nil {
		warnPlainHTTP(log, s.NativeAddr())
	}
	log.Info("serving", "native", where.Native, "admin", where.Admin, "aws", where.AWS, "policy", a.PolicyDigest(), "version", version())
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { a.Watch(watching, source, reload) })
	err = s.Serve(ctx)
	stop()
	watch.Wait()
	log.Info("stopped")
	return err
}

// unlessEnded is err, but for what comes of being told to end before there was anything to end: that is no failure.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// environ lets flags override the file the way variables do: with the same checks and the same errors.
func (f serverFlags) environ() []string {
	env := os.Environ()
	for _, o := range [][2]string{{"KEYHOLE__LISTEN__NATIVE", f.listen}, {"KEYHOLE__LOG__LEVEL", f.logLevel}} {
		if o[1] != "" {
			env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, o[0]+"=") })
			env = append(env, o[0]+"="+o[1])
		}
	}
	return env
}

func warnPlainHTTP(log *slog.Logger, a net.Addr) {
	if t, ok := a.(*net.TCPAddr); ok && !t.IP.IsLoopback() {
		log.Warn("serving plain HTTP on an address that is not loopback; TLS must end in front of it", "address", fmt.Sprint(a))
	}
}
