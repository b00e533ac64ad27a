package app

import (
	"context"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// Caller is who the platform says has called, as identity.IAM. It is no type of its own, so that surfaces which do not know
// this package can have the same.
type Caller = struct{ Account, ARN, UserID, AccessKey string }

// CalledBy is how a surface says of the request of a context who the platform says has called; it is nil unless
// identity.function_url_only says that the platform can be believed. Who then has no token is decided by the trust rules of
// template aws-function-url.
func (a *App) CalledBy() func(context.Context, Caller) context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.config.Identity.FunctionURLOnly {
		return nil
	}
	return func(ctx context.Context, c Caller) context.Context { return proxy.WithIAM(ctx, (*identity.IAM)(&c)) }
}
