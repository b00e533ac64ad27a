package doctor

import (
	"context"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/app"
)

// policies compiles the chain as the server does.
func policies(ctx context.Context, p *patient) []Finding {
	digest, err := app.CheckPolicy(ctx, p.Config, p.set.Drivers, p.set.Getenv)
	if err != nil {
		return []Finding{fail(err.Error(), "policy.chain", "correct the policy or its data; without one nothing is allowed")}
	}
	var names []string
	for _, b := range p.Policy.Chain {
		names = append(names, b.Bundle.String())
	}
	if len(names) == 0 {
		names = []string{"builtin:scope"}
	}
	return []Finding{ok("it compiles, digest "+digest, "policy.chain "+strings.Join(names, ", "))}
}
