package proxy

import (
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
)

// Stats counts since New.
type Stats struct {
	Cache     cache.Stats
	Upstreams map[string]guard.Stats // by name, of the guarded ones

	OlderVersions uint64 // refreshes that came back with an older version twice, and were accepted
	Checks        uint64 // reads of the state store
	FailedChecks  uint64 // of those, the ones that failed
}

// Stats returns the counters.
func (p *Proxy) Stats() Stats {
	s := Stats{
		Cache: p.cache.Stats(), Upstreams: map[string]guard.Stats{},
		Checks: p.fresh.checks.Load(), FailedChecks: p.fresh.failures.Load(),
	}
	counted := map[*guard.Guard]bool{nil: true}
	for _, m := range p.mounts.all {
		s.OlderVersions += m.older.Load()
		if !counted[m.Guard] {
			counted[m.Guard] = true
			s.Upstreams[m.UpstreamName] = s.Upstreams[m.UpstreamName].Plus(m.Guard.Stats())
		}
	}
	return s
}
