package wasm

import (
	"context"
	"strconv"

	"github.com/tetratelabs/wazero"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// guest is one loaded policy of a chain.
type guest struct {
	manifest
	isolation Isolation
	data      []byte
	imports   bool              // it calls the host, which then must know its instances
	mutable   []int             // globals to restore, under Reset
	fullRules map[uint16]string // NAME/RULE of each code that has a name
	ruleFault string

	engine   wazero.Runtime
	compiled wazero.CompiledModule
	live     *registry
	log      *limitedLog
	pool     *pool
}

// nameRules puts the policy's name before its rules once, so that decisions need not.
func (g *guest) nameRules() {
	g.fullRules = make(map[uint16]string, len(g.rules))
	for code, rule := range g.rules {
		g.fullRules[code] = g.name + "/" + rule
	}
	g.ruleFault = g.name + "/" + errorRule
}

func (g *guest) ruleName(code uint16) string {
	if r, ok := g.fullRules[code]; ok {
		return r
	}
	return g.name + "/" + strconv.Itoa(int(code))
}

// decide runs the policy on one request.
func (g *guest) decide(ctx context.Context, req *policy.Request) policy.Decision {
	d, err := g.tryDecide(ctx, req)
	if err != nil {
		return policy.Decision{Rule: g.ruleFault, Fault: err}
	}
	return d
}

func (g *guest) tryDecide(ctx context.Context, req *policy.Request) (policy.Decision, error) {
	if req.Principal == nil {
		return policy.Decision{}, errNoPrincipal
	}
	in, err := g.pool.get(ctx)
	if err != nil {
		return policy.Decision{}, err
	}
	d, err := in.decide(req)
	g.pool.put(in, err == nil)
	return d, err
}
