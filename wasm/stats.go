package wasm

import (
	"sync/atomic"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// Stats counts the answers of a Chain since it was loaded. Faults are among the denials.
type Stats struct {
	Allowed, Denied, ApprovalRequired uint64
	Faults                            uint64

	// Precompiled counts the policies whose machine code came with Config.Native, Compiled those that were compiled when
	// the Chain was loaded. Where the system has no compiler both are 0.
	Precompiled, Compiled uint64
}

// Decisions is the number of answers.
func (s Stats) Decisions() uint64 { return s.Allowed + s.Denied + s.ApprovalRequired }

type counters struct{ allowed, denied, approval, faults atomic.Uint64 }

func (c *counters) add(d *policy.Decision) {
	switch d.Effect {
	case policy.Allow:
		c.allowed.Add(1)
	case policy.RequireApproval:
		c.approval.Add(1)
	default:
		c.denied.Add(1)
	}
	if d.Fault != nil {
		c.faults.Add(1)
	}
}

// Stats returns the counts so far.
func (c *Chain) Stats() Stats {
	return Stats{
		Allowed: c.stats.allowed.Load(), Denied: c.stats.denied.Load(),
		ApprovalRequired: c.stats.approval.Load(), Faults: c.stats.faults.Load(),
		Precompiled: c.tally.precompiled, Compiled: c.tally.compiled,
	}
}
