package app

import (
	"context"
	"errors"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// Running is an app that listens.
type Running struct {
	*Server
	app *App
}

// Open builds an app, starts it and opens its listeners. What came of it must be closed.
func Open(ctx context.Context, c *config.Config, d Drivers, o Options) (*Running, error) {
	a, err := New(ctx, c, d, o)
	if err != nil {
		return nil, err
	}
	if err := a.Start(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	s, err := a.Listen()
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return &Running{s, a}, nil
}

// Close closes the listeners and then the app, so that its audit log is sealed.
func (r *Running) Close() error { return errors.Join(r.Server.Close(), r.app.Close()) }
