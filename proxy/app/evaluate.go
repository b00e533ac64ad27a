package app

import (
	"context"
	"errors"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Evaluate loads the policies of a configuration and asks them about one request, with the mount, labels and region that
// the configuration gives its path. No vault, state or log is opened, and nothing is recorded. The principal's scopes are
// not looked at: they come before any policy. A policy that fails shows in Decision.Fault.
func Evaluate(ctx context.Context, c *config.Config, getenv func(string) string, r policy.Request) (_ policy.Decision, _ policy.Request, err error) {
	if err := unsupported(c); err != nil {
		return policy.Decision{}, r, err // as the server would say it
	}
	chain, err := alone(c, getenv, time.Now).policy(ctx)
	if err != nil {
		return policy.Decision{}, r, err
	}
	defer func() { err = errors.Join(err, chain.Close(ctx)) }()
	proxy.Classify(&r, mountsOf(c), labelRules(c.Labels))
	r.Context.Region = c.Region
	return chain.Authorize(ctx, &r), r, nil
}

// Labels are those that a configuration gives a path, which policies see.
func Labels(c *config.Config, path secret.Path) []policy.Pair {
	r := policy.Request{Path: path}
	proxy.Classify(&r, mountsOf(c), labelRules(c.Labels))
	return r.Labels
}
