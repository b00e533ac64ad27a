package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// check holds one answer against the laws.
func (w *world) check(a *answer) {
	mode, restricted := proxy.Bounded, false
	if a.mount != nil {
		mode = a.mount.mode
	}
	rules := w.model.rules(a.begin, a.end)
	if len(rules) > 0 {
		restricted = true
		for _, r := range rules {
			restricted = restricted && r.restricts(a.path)
		}
	}
	bound := w.model.bound(mode, restricted, a.begin)
	w.checkRecord(a)
	if !a.ok {
		w.checkRefusal(a, rules)
		return
	}
	if a.what != "list" {
		w.checkAllowed(a, rules)
	}
	latest := a.begin
	if a.value != "" {
		latest = a.end // a value is looked at again before it is released
	}
	if subject, yes := w.model.refused(a, a.begin, latest, bound); yes && a.what != "list" {
		w.violated("I4", "%s, although %s is revoked", a, subject)
	}
	if a.value != "" {
		w.checkValue(a, restricted, bound)
	}
}

// checkRecord: I1, nothing is answered without a record, and a change has both.
func (w *world) checkRecord(a *answer) {
	if a.code == api.AuditUnavailable || a.code == api.Internal {
		return
	}
	e, ended, ok := w.book.find(a.decision)
	switch change := a.action == policy.WriteTo; {
	case !ok:
		w.violated("I1", "%s, without a record (decision %q)", a, a.decision)
	case a.ok && change && (e.kind != audit.Intent || !ended):
		w.violated("I1", "%s, without its pair of records", a)
	case a.ok && !change && (e.status >= 300 || e.path != a.path):
		w.violated("I1", "%s, and the record says %d for %s", a, e.status, e.path)
	}
}

// checkAllowed: I6 and I9, what is answered was allowed, and the policy was asked for this very request.
func (w *world) checkAllowed(a *answer, rules []*ruling) {
	if !a.who.parsed.Allows(a.action, mustPath(a.path)) {
		w.violated("I9", "%s, outside of its scopes", a)
	}
	if !slices.ContainsFunc(rules, func(r *ruling) bool { return r.allows(a.who.name, a.path) }) {
		w.violated("I6", "%s, which no policy in force allows", a)
	}
	if !w.verdicts.between(a.begin, a.end, a.who.name, a.path) {
		w.violated("I6", "%s, and the policy was not asked", a)
	}
	if at := dawn.Add(a.begin.wall); at.After(a.who.expires.Add(identity.Leeway + time.Second)) {
		w.violated("I4", "%s, with a token that has expired", a)
	}
}

// checkValue: I2 and I3.
func (w *world) checkValue(a *answer, restricted bool, bound time.Duration) {
	parts := strings.Split(a.value, "|")
	if len(parts) != 5 || parts[0] != canary {
		w.violated("I2", "%s, which is no value of the upstream: %q", a, a.value)
		return
	}
	n := number(secret.Version(parts[2]))
	history := w.vault.history(a.name)
	switch {
	case a.mount == nil || parts[4] != a.mount.name || parts[1] != a.name:
		w.violated("I2", "%s, with the value of %s through mount %s", a, parts[1], parts[4])
		return
	case n != number(a.version) || n < 1 || n > len(history) || history[n-1].payload != parts[3]:
		w.violated("I2", "%s, with bytes that this version does not have", a)
		return
	case a.selector != secret.Current:
		if a.selector != a.version {
			w.violated("I3", "%s, asked for version %s", a, a.selector)
		}
	case n < w.model.required(a.name, a.begin, a.end, bound):
		w.violated("I3", "%s, older than version %d, of which the node had to know (bound %v)", a,
			w.model.required(a.name, a.begin, a.end, bound), bound)
	}
	w.checkAge(a, n, restricted)
}

// staleAfter is how long after a failure of the upstream a stale answer may come: a read that began ten seconds later and
// takes as long is not waited for, and what the clocks do besides.
const staleAfter = 25 * time.Second

// checkAge: I3, by when the upstream was last seen to give this version.
func (w *world) checkAge(a *answer, n int, restricted bool) {
	start, ok := w.vault.fetched(a.mount.name, a.name, n, a.end)
	if !ok {
		w.violated("I2", "%s, which was never read through this mount", a)
		return
	}
	limit := a.mount.ttl.Hard
	if a.state == string(cache.Stale) {
		limit = max(limit, a.mount.ttl.Stale)
		w.mu.Lock()
		trouble := w.vaultFault.kind != fine
		w.mu.Unlock()
		switch {
		case restricted:
			w.violated("I3", "%s, and it is restricted", a)
		case !trouble && !a.hurried && !w.model.anySince(&w.model.upstream, a.begin, staleAfter):
			w.violated("I3", "%s, and the upstream does not fail", a)
		}
	}
	if age := w.clock.elapsed(start, a.begin); age >= limit {
		w.violated("I3", "%s, read %v before, at most %v is allowed", a, age, limit)
	}
	if age := w.clock.elapsed(start, a.end); age >= limit+w.setup.check && !w.model.anySince(&w.model.slowness, a.begin, 0) {
		w.violated("I3", "%s, released %v after it was read, at most %v is allowed", a, age, limit)
	}
}

// certain are the answers that say nothing about what exists.
var certain = []api.Code{
	api.ScopeDenied, api.PolicyDenied, api.Revoked, api.TokenRevoked, api.TokenExpired, api.TokenInvalid, api.StateUnavailable,
	api.AuditUnavailable, api.RateLimited,
}

// checkRefusal: I9, and that what is refused is refused for a reason.
func (w *world) checkRefusal(a *answer, rules []*ruling) {
	covered := a.who.parsed.Allows(a.action, mustPath(a.path))
	allowed := slices.ContainsFunc(rules, func(r *ruling) bool { return r.allows(a.who.name, a.path) })
	if a.what == "list" {
		covered, allowed = a.who.parsed.CanMatchUnder(policy.List, mustPath(a.path)), true
	}
	if (!covered || !allowed) && !slices.Contains(certain, a.code) {
		w.violated("I9", "%s, to somebody who may not know", a)
	}
	switch {
	case a.code == api.ScopeDenied && covered,
		a.code == api.PolicyDenied && !slices.ContainsFunc(rules, func(r *ruling) bool { return !r.allows(a.who.name, a.path) }),
		(a.code == api.Revoked || a.code == api.TokenRevoked) && !w.model.touched(a):
		w.violated("availability", "%s, without a reason", a)
	case a.code == api.NotFound && a.mount != nil && a.selector == secret.Current && a.action == policy.Read && a.what != "list":
		w.checkAbsent(a)
	case a.what == "read" && covered && allowed && a.mount != nil && w.calm(a.begin):
		w.checkHealthy(a)
	}
}

// checkAbsent: I3 for what is remembered not to exist. That there was nothing when it was asked is no value: it may come
// late.
func (w *world) checkAbsent(a *answer) {
	history := w.vault.history(a.name)
	first := len(history)
	for first > 0 && history[first-1].payload != "" {
		first--
	}
	if first == len(history) || a.mount.fields && !slices.Contains(fieldNames, a.path[strings.LastIndexByte(a.path, '/')+1:]) {
		return // it does not exist
	}
	made := history[first].at
	known := w.model.required(a.name, a.begin, a.begin, w.model.bound(a.mount.mode, false, a.begin)) > first
	if known || w.clock.elapsed(made, a.begin) > a.mount.ttl.Negative*3/2+10*time.Second {
		w.violated("I3", "%s, which has been there since version %d", a, first+1)
	}
}

// checkHealthy: where nothing fails nothing is refused.
func (w *world) checkHealthy(a *answer) {
	// Callers whose tokens have expired ask from the same address, which is then held back.
	if a.code == api.RateLimited || a.code == api.TokenExpired || a.code == api.TokenInvalid || a.code == api.NotFound || w.model.touched(a) {
		return
	}
	for _, r := range w.model.rules(a.begin, a.end) {
		if !r.allows(a.who.name, a.path) {
			return
		}
	}
	w.violated("availability", "%s, although nothing fails", a)
}

// checkAnnounced: others hear of every change that was answered.
func (w *world) checkAnnounced(name string, r *revision) {
	facts, _, err := w.facts.Since(w.ctx, 0)
	if err != nil {
		w.violated("simulator", "reading facts: %v", err)
	}
	for _, m := range w.setup.mounts {
		rest, ok := strings.CutPrefix(name, m.at+"/")
		if ok && !slices.ContainsFunc(facts, func(f state.Fact) bool {
			subject := m.name + "/" + rest
			if m.fields {
				subject += "/*"
			}
			return f.Kind == state.Invalidation && f.Subject == subject && f.Seq > r.facts
		}) {
			w.violated("I3", "a change of %s was answered, and the log does not say so of %s", name, m.name)
		}
	}
}

// checkOutbox: after a start every change that was ever made has been announced.
func (w *world) checkOutbox() {
	if n := w.vault.owed(); n > 0 {
		w.violated("I3", "%d changes are not announced after the start", n)
	}
}

// checkMemory: I7, by what the cache says it counts and by what is not wiped, once nothing is under way.
func (w *world) checkMemory() {
	synctest.Wait()
	if w.life.plug.out() {
		return
	}
	s := w.life.Stats()
	w.scanText("statistics", fmt.Sprintf("%+v", s))
	c := s.Cache
	if c.Entries > w.setup.entries || c.Bytes > w.setup.bytes || c.Negatives > max(1, w.setup.entries/10) || c.Entries < 0 || c.Bytes < 0 {
		w.violated("I7", "the cache counts %d entries, %d bytes, %d absences; allowed are %d, %d, %d",
			c.Entries, c.Bytes, c.Negatives, w.setup.entries, w.setup.bytes, max(1, w.setup.entries/10))
	}
	n, size := w.vault.alive()
	if n > w.setup.entries || int64(size+n*cache.EntryOverhead) > w.setup.bytes {
		w.violated("I7", "%d values of %d bytes in memory; allowed are %d entries, %d bytes", n, size, w.setup.entries, w.setup.bytes)
	}
}

// checkLog: I1, the log that is left on the disk is whole.
func (w *world) checkLog() {
	report, err := audit.Verify(w.disk.Sources(), audit.VerifyOptions{PublicKey: w.keys.public()})
	if err != nil {
		w.violated("I1", "the audit log does not verify: %v", err)
	}
	if !report.Sealed {
		w.violated("I1", "the audit log is not sealed")
	}
}
