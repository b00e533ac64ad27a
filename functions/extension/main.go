// Command extension is the Lambda extension: Keyhole beside a function, on loopback.
//
// Its configuration is the JSON document in KEYHOLE_CONFIG, or the file that it names; else keyhole.json of the function's
// package or of a layer; else what the variables of the AWS Parameters and Secrets Lambda Extension say.
package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/keyhole-edge/keyhole/functions/internal/defaults"
	"github.com/keyhole-edge/keyhole/functions/internal/extensionapi"
	"github.com/keyhole-edge/keyhole/functions/internal/harden"
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/edge"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	level := new(slog.LevelVar)
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	lambda := extensionapi.New(os.Getenv("AWS_LAMBDA_RUNTIME_API"), filepath.Base(os.Args[0]))
	err := lambda.Run(ctx, func(ctx context.Context) (extensionapi.Program, error) { return open(ctx, log, level) })
	stop()
	if err != nil {
		log.Error("the extension ends", "error", err.Error())
		os.Exit(1)
	}
}

// open builds everything that stands before the first request, and listens.
func open(ctx context.Context, log *slog.Logger, level *slog.LevelVar) (extensionapi.Program, error) {
	if err := harden.Process(); err != nil {
		return nil, err
	}
	silent := false
	made := func() ([]byte, error) { silent = defaults.Silent(os.Getenv); return defaults.Document(os.Getenv) }
	c, err := edge.Drivers().LoadBeside(os.Getenv("KEYHOLE_CONFIG"), []string{cmp.Or(os.Getenv("LAMBDA_TASK_ROOT"), "/var/task"), "/opt"}, os.Environ(), made)
	if err != nil {
		return nil, err
	}
	debug.SetMemoryLimit(int64(c.Cache.Bytes) + 9<<20) // the memory is the function's, and so would be GOMEMLIMIT
	if silent {
		log = slog.New(slog.DiscardHandler)
	}
	beside := &app.Beside{Name: cmp.Or(os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), "function"), Token: defaults.Token(os.Getenv)}
	return app.Open(ctx, c, edge.Drivers(), app.Options{Surface: "extension", Freezes: true, Prefetch: os.Getenv(app.PrefetchVariable), Beside: beside, Logger: log, Level: level})
}
