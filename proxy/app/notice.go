package app

import (
	"context"
	"maps"
	"slices"

	"github.com/keyhole-edge/keyhole/proxy"
)

// Change is the word of the platform that a function runs on that an object of a vault may have changed.
type Change struct {
	Source  string   // who says so, such as "aws.secretsmanager"
	ID      string   // of the event
	Type    string   // of the upstreams that may have it, such as "secretsmanager"
	Objects []string // names that the object may have there
}

// Changed invalidates what the mounts of upstreams of that type show of the objects, and returns how many places those
// are.
func (a *App) Changed(ctx context.Context, c Change) (int, error) {
	a.mu.Lock()
	configured := a.config.Upstreams
	a.mu.Unlock()
	n := proxy.Notice{From: c.Source, ID: c.ID, Objects: c.Objects}
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		if configured[name].Type == c.Type {
			n.Upstreams = append(n.Upstreams, name)
		}
	}
	return a.Proxy.Changed(ctx, &proxy.Call{Surface: "lambda"}, &n)
}
