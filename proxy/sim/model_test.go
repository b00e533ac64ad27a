package sim_test

import (
	"strings"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// model says what may be answered. It knows what happened outside of the node, and what the node was told and
// acknowledged, and nothing of how the node works.
type model struct {
	w *world

	mu       sync.Mutex
	needs    []need
	revoked  []revocation
	rulings  []enacted
	failures []instant // of the store, as the node saw it
	slowness []instant // reads of the store that took long
	upstream []instant // failures of the upstream
}

// need says that from some moment on no version of an object older than this may be served.
type need struct {
	at      instant
	name    string
	version int
	news    bool // only an announcement in the log of facts: the node has its bound to hear of it
}

// revocation is what the log of facts forbids.
type revocation struct {
	at      instant
	id      string
	subject string
	lifted  bool
}

// enacted is a ruling. It may decide from one moment on; from the other on the one before it no longer does.
type enacted struct {
	from, settled instant
	rule          *ruling
}

func (m *model) storeFailed()    { m.note(&m.failures) }
func (m *model) storeSlow()      { m.note(&m.slowness) }
func (m *model) upstreamFailed() { m.note(&m.upstream) }

func (m *model) note(list *[]instant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*list = append(*list, m.w.clock.now())
}

// anySince reports whether one of the list happened within d before from, or later.
func (m *model) anySince(list *[]instant, from instant, d time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(*list)
	if n == 0 {
		return false
	}
	last := (*list)[n-1]
	return from.before(last) || from.mono-last.mono <= d
}

// told says that a call was answered that changed name through the node, or may have: the version then current is the
// oldest that the caller, or anybody who asks later, may see.
func (m *model) told(name string, version int) {
	if version == 0 {
		return
	}
	now := m.w.clock.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.needs = append(m.needs, need{at: now, name: name, version: version})
}

// announced says that another node rotated name and told the log.
func (m *model) announced(name string, version int) {
	now := m.w.clock.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.needs = append(m.needs, need{at: now, name: name, version: version, news: true})
}

// bound is how long the node may go on without a fact, in a request that began at b.
func (m *model) bound(mode proxy.Freshness, restricted bool, b instant) time.Duration {
	s := &m.w.setup
	switch {
	case mode == proxy.Strict:
		return 0
	case restricted:
		return s.check
	case mode == proxy.Eventual:
		return max(s.check, s.maxBlind)
	case m.anySince(&m.failures, b, s.check):
		return max(s.check, s.maxBlind)
	}
	return s.check
}

// due reports whether the node had to know at the request's beginning, or had to find out before it answered, of what
// the log says since at.
func (m *model) due(at, begin, end instant, bound time.Duration) bool {
	if !at.before(begin) {
		// It happened while the request was under way. One that takes longer than the check interval, be it that the
		// process is frozen in the middle, has to look again before it answers.
		return m.late(at, end, bound)
	}
	return m.w.clock.elapsed(at, begin) >= bound || m.late(at, end, bound)
}

func (m *model) late(at, end instant, bound time.Duration) bool {
	if m.anySince(&m.slowness, at, 0) {
		return false
	}
	return m.w.clock.elapsed(at, end) > bound+m.w.setup.check
}

// required is the oldest version of name that may be answered.
func (m *model) required(name string, begin, end instant, bound time.Duration) int {
	m.mu.Lock()
	needs := m.needs
	m.mu.Unlock()
	oldest := 0
	for _, n := range needs {
		if n.name != name || n.version <= oldest {
			continue
		}
		if n.news && m.due(n.at, begin, end, bound) || !n.news && n.at.before(begin) {
			oldest = n.version
		}
	}
	return oldest
}

// refused reports whether the log forbids the request, and the node had to know.
func (m *model) refused(a *answer, begin, end instant, bound time.Duration) (subject string, yes bool) {
	m.mu.Lock()
	revoked := m.revoked
	m.mu.Unlock()
	for _, r := range revoked {
		if !r.lifted && r.concerns(a) && m.due(r.at, begin, end, bound) {
			return r.subject, true
		}
	}
	return "", false
}

// touched reports whether any revocation ever concerned the request.
func (m *model) touched(a *answer) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.revoked {
		if r.concerns(a) {
			return true
		}
	}
	return false
}

func (r *revocation) concerns(a *answer) bool {
	switch kind, text, _ := strings.Cut(r.subject, ":"); kind {
	case "token_id":
		return text == a.who.tokenID
	case "subject":
		return text == a.who.name
	default: // secret:PREFIX/**, which can be rotated
		return a.action != policy.WriteTo && under(a.path, strings.TrimSuffix(text, "/**"))
	}
}

// rules are the rulings that may have decided a request.
func (m *model) rules(begin, end instant) []*ruling {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*ruling
	for i, e := range m.rulings {
		if i+1 < len(m.rulings) && m.rulings[i+1].settled.before(begin) {
			continue
		}
		if e.from.before(end) {
			out = append(out, e.rule)
		}
	}
	return out
}

// enact puts rules in force by set.
func (m *model) enact(r *ruling, set func()) {
	from := m.w.clock.now()
	m.mu.Lock()
	m.rulings = append(m.rulings, enacted{from, instant{tick: ^uint64(0)}, r})
	i := len(m.rulings) - 1
	m.mu.Unlock()
	set()
	settled := m.w.clock.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rulings[i].settled = settled
}
