// Command lambda is the regional function: Keyhole behind a Function URL, an HTTP API or an Application Load Balancer.
//
// Its configuration is the JSON document in KEYHOLE_CONFIG, or the file that it names; else keyhole.json of the package.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/keyhole-edge/keyhole/functions/internal/harden"
	"github.com/keyhole-edge/keyhole/functions/internal/lambdahttp"
	"github.com/keyhole-edge/keyhole/functions/internal/runtimeapi"
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/edge"
)

func main() {
	level := new(slog.LevelVar)
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ending := runtimeapi.AwaitEnding()
	a, h, err := open(context.Background(), log, level)
	if err != nil {
		log.Error("the function cannot start", "error", err.Error())
		runtimeapi.InitError(err)
		os.Exit(1)
	}
	ending.Then(func() {
		if err := a.Close(); err != nil {
			log.Error("closing", "error", err.Error())
		}
		os.Exit(0)
	}, log)
	lambda.Start(h)
}

// open builds everything that stands before the first event.
func open(ctx context.Context, log *slog.Logger, level *slog.LevelVar) (*app.App, *lambdahttp.Handler, error) {
	if err := harden.Process(); err != nil {
		return nil, nil, err
	}
	c, err := edge.Drivers().LoadPackaged(os.Getenv("KEYHOLE_CONFIG"), os.Getenv("LAMBDA_TASK_ROOT"), os.Environ())
	if err != nil {
		return nil, nil, err
	}
	a, err := app.New(ctx, c, edge.Drivers(), app.Options{Surface: "lambda", Logger: log, Level: level, Prefetch: os.Getenv(app.PrefetchVariable), Freezes: true, ChecksLater: true})
	if err != nil {
		return nil, nil, err
	}
	if err := a.Start(ctx); err != nil {
		return nil, nil, err
	}
	changed := func(ctx context.Context, c lambdahttp.Change) (int, error) { return a.Changed(ctx, app.Change(c)) }
	h, err := lambdahttp.New(lambdahttp.Config{API: a.Native, Changed: changed, Ready: a.Proxy.Ready, Settled: a.Settled, CalledBy: a.CalledBy()})
	return a, h, err
}
