package app

import (
	"context"
	"os"
	"time"
)

// lookEvery is how often the files of a configuration are looked at.
const lookEvery = time.Second

// Watch reloads the app from s when a file of it changes, and at once when now receives, until ctx is done. A
// configuration that is refused leaves everything as it was, and the log says why; it is tried again when a file changes.
func (a *App) Watch(ctx context.Context, s *Source, now <-chan os.Signal) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-now:
			a.reloadFrom(ctx, s)
		case <-look.C:
			if s.Changed() {
				a.reloadFrom(ctx, s)
			}
		}
	}
}

func (a *App) reloadFrom(ctx context.Context, s *Source) {
	c, err := s.Load()
	if err == nil {
		err = a.Reload(ctx, c)
	}
	if err != nil {
		a.log.Error("the configuration is refused; the one before it stays in force", "file", s.file, "error", err.Error())
		return
	}
	a.log.Info("configuration reloaded", "file", s.file, "policy", a.PolicyDigest())
}
