// Command keyhole is the server and the command line of Keyhole, a regional edge proxy for secrets.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if err := harden(); err != nil {
		os.Exit(report(os.Stderr, err))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks, the second one ends the process.
	context.AfterFunc(ctx, stop)
	err := root().ExecuteContext(ctx)
	stop()
	os.Exit(report(os.Stderr, err))
}
