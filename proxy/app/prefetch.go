package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const (
	// PrefetchVariable names secrets that are read into the cache before the first request: paths with commas between.
	PrefetchVariable = "KEYHOLE_PREFETCH"
	maxPrefetch      = 100

	// prefetchTime bounds all of it. Lambda gives an initialisation 10 s, and begins anew where that is over; a start that
	// waits this long for a vault has won nothing against reading when somebody asks.
	prefetchTime = 2 * time.Second
)

// parsePrefetch reads the variable, which is empty where nothing is wanted.
func parsePrefetch(text string) ([]secret.Path, error) {
	if text == "" {
		return nil, nil
	}
	names := strings.Split(text, ",")
	if len(names) > maxPrefetch {
		return nil, fmt.Errorf("%s: %d names; at most %d are read ahead", PrefetchVariable, len(names), maxPrefetch)
	}
	var paths []secret.Path
	for i, name := range names {
		path, err := secret.ParsePath(strings.TrimSpace(name))
		if err != nil {
			return nil, fmt.Errorf("%s: name %d, %.100q: %w", PrefetchVariable, i+1, name, err)
		}
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// warm reads the secrets that Options.Prefetch names into the cache. What it cannot read it tells the log: whoever asks for
// it is told why then.
func (a *App) warm(ctx context.Context) {
	if len(a.prefetch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, prefetchTime)
	defer cancel()
	cached := 0
	for i, err := range a.Proxy.Prefetch(ctx, a.prefetch) {
		if err == nil {
			cached++
			continue
		}
		cause := err
		if e := (*proxy.Error)(nil); errors.As(err, &e) && e.Cause != nil {
			cause = e.Cause
		}
		a.log.Warn("a secret could not be read ahead", "path", a.prefetch[i].String(), "error", cause.Error())
	}
	a.log.Info("secrets were read ahead", "named", len(a.prefetch), "cached", cached)
}
