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

// prefetchNames reads the variable, which is empty where nothing is wanted. What cannot be read ahead is told the log and
// left out: that nothing is read ahead is no reason not to start.
func (a *App) prefetchNames(text string) (paths []secret.Path) {
	for i, name := range strings.Split(text, ",") {
		name = strings.TrimSpace(name)
		path, err := secret.ParsePath(name)
		switch {
		case name == "", slices.Contains(paths, path):
		case err != nil:
			a.log.Error("a secret is not read ahead", "error", fmt.Sprintf("%s: name %d, %.100q: %v", PrefetchVariable, i+1, name, err))
		case len(paths) == maxPrefetch:
			a.log.Error("not all secrets are read ahead", "error", fmt.Sprintf("%s: name %d and those after it: at most %d are read ahead", PrefetchVariable, i+1, maxPrefetch))
			return paths
		default:
			paths = append(paths, path)
		}
	}
	return paths
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
