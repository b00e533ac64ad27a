package sim_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// setup is the configuration of one seed.
type setup struct {
	mounts   []mountAt
	check    time.Duration
	maxBlind time.Duration
	entries  int
	bytes    int64
	rotate   int // bytes of an audit file
	inline   bool
	guarded  bool
	spread   float64 // what random fractions are
}

// step is one thing that happens. All its choices were made by the seed.
type step struct {
	name string
	run  func(w *world)
}

// plan is what one seed does.
type plan struct {
	setup setup
	steps []step
	audit bool // verify the whole audit log at the end, which costs as much as the rest
}

var principals = []caller{
	{name: "alice", scopes: "read:** write:** list:**"},
	{name: "bob", scopes: "read:one/* list:one/* write:one/k0"},
	{name: "carol", scopes: "read:two/** read:three/** list:**"},
	{name: "mallory", scopes: "read:elsewhere/* list:elsewhere/*"},
}

// planner draws from one seed.
type planner struct {
	*rand.Rand
	payloads int
}

func pick[T any](p *planner, from ...T) T { return from[p.IntN(len(from))] }

// one reports true in one of n cases.
func (p *planner) one(n int) bool { return p.IntN(n) == 0 }

func makePlan(seed uint64) plan {
	p := &planner{Rand: rand.New(rand.NewPCG(seed, 0x6b6579686f6c65))}
	out := plan{setup: p.setup(), audit: seed%4 == 0}
	for range 12 + p.IntN(20) {
		out.steps = append(out.steps, p.step())
	}
	return out
}

func (p *planner) setup() setup {
	s := setup{
		check: pick(p, time.Second, time.Second, 300*time.Millisecond), maxBlind: pick(p, 0, 5*time.Second, 30*time.Second),
		entries: pick(p, 3, 5, 30), bytes: pick(p, int64(3000), 8000, 1<<20), rotate: pick(p, 0, 0, 4000),
		inline: p.one(5), guarded: p.one(2), spread: p.Float64(),
	}
	for _, m := range []mountAt{{name: "one", at: "a"}, {name: "two", at: "a"}, {name: "three", at: "b"}, {name: "env", at: "a", fields: true}} {
		m.ttl = cache.TTL{Soft: pick(p, 10*time.Second, time.Minute), Hard: pick(p, time.Minute, 5*time.Minute)}
		m.ttl.Stale = pick(p, 0, 10*time.Minute, time.Hour)
		m.ttl.Negative = pick(p, 0, 10*time.Second, time.Minute)
		m.mode = pick(p, proxy.Bounded, proxy.Bounded, proxy.Strict, proxy.Eventual)
		s.mounts = append(s.mounts, m)
	}
	return s
}

func (p *planner) path() string {
	mount := pick(p, "one", "one", "two", "three", "env", "env")
	path := mount + "/" + pick(p, "k0", "k0", "k0", "k1", "k1", "k2", "none")
	if mount == "env" {
		path += "/" + pick(p, "p", "p", "u", "u", "none")
	}
	return path
}

// who is alice mostly: she may everything, and tells most about what is served.
func (p *planner) who() string { return pick(p, "alice", "alice", "alice", "bob", "carol", "mallory") }

func (p *planner) payload() string {
	p.payloads++
	return fmt.Sprintf("w%d", p.payloads) + strings.Repeat("x", pick(p, 0, 10, 500, 2500))
}

func (p *planner) length() time.Duration {
	return pick(p, 200*time.Millisecond, time.Second, 1500*time.Millisecond, 6*time.Second, 9*time.Second, 31*time.Second, 61*time.Second, 6*time.Minute, 70*time.Minute)
}

// step draws one step. Reads come often: they are what the laws are about.
func (p *planner) step() step {
	type drawn struct {
		weight int
		make   func() step
	}
	all := []drawn{
		{24, p.readStep},
		{10, p.burst},
		{6, p.herd},
		{4, p.batchStep},
		{8, p.writeStep},
		{4, p.lookStep},
		{8, p.rotate},
		{5, p.revoke},
		{8, p.passStep},
		{6, p.freezeStep},
		{6, p.vaultTrouble},
		{5, p.storeTrouble},
		{5, p.sinkTrouble},
		{3, p.mendStep},
		{4, p.reload},
		{3, p.killStep},
		{2, p.mintStep},
	}
	total := 0
	for _, d := range all {
		total += d.weight
	}
	n := p.IntN(total)
	for _, d := range all {
		if n -= d.weight; n < 0 {
			return d.make()
		}
	}
	panic("no step")
}

func (p *planner) selector() secret.Version {
	if p.one(6) {
		return secret.Version(strconv.Itoa(1 + p.IntN(3)))
	}
	return secret.Current
}

func (p *planner) readStep() step {
	who, path, sel := p.who(), p.path(), p.selector()
	return step{fmt.Sprintf("%s reads %s", who, path), func(w *world) { w.read(w.ctx, w.who[who], path, sel) }}
}

func (p *planner) batchStep() step {
	who, paths := p.who(), []string{p.path(), p.path(), p.path()}
	return step{fmt.Sprintf("%s reads %v at once", who, paths), func(w *world) { w.batch(w.who[who], paths) }}
}

func (p *planner) writeStep() step {
	who, path, payload := pick(p, "alice", "alice", "alice", "bob", "mallory"), p.path(), p.payload()
	switch p.IntN(5) {
	case 0:
		return step{fmt.Sprintf("%s deletes %s", who, path), func(w *world) { w.remove(w.who[who], path) }}
	case 1:
		to := pick(p, secret.Previous, "1", "2")
		return step{fmt.Sprintf("%s rolls %s back to %s", who, path, to), func(w *world) { w.rollback(w.who[who], path, to) }}
	}
	return step{fmt.Sprintf("%s writes %s", who, path), func(w *world) { w.write(w.who[who], path, payload) }}
}

// lookStep is what shows no value.
func (p *planner) lookStep() step {
	who, path := p.who(), p.path()
	switch p.IntN(3) {
	case 0:
		return step{fmt.Sprintf("%s lists", who), func(w *world) { w.list(w.who[who], strings.Split(path, "/")[0]) }}
	case 1:
		return step{fmt.Sprintf("%s asks for the versions of %s", who, path), func(w *world) { w.versions(w.who[who], path) }}
	}
	v := secret.Version(strconv.Itoa(1 + p.IntN(3)))
	return step{fmt.Sprintf("%s rejects %s v%s", who, path, v), func(w *world) { w.report(w.who[who], path, v) }}
}

// burst is several callers at the same time, who may change things, while rules change and facts come.
func (p *planner) burst() step {
	type act func(w *world)
	var acts []act
	for range 3 + p.IntN(5) {
		who, path, payload := p.who(), pick(p, "one/k0", "one/k0", "two/k0", "env/k0/u", p.path()), p.payload()
		switch p.IntN(8) {
		case 0:
			acts = append(acts, func(w *world) { w.write(w.who[who], path, payload) })
		case 1:
			acts = append(acts, func(w *world) { w.remove(w.who[who], path) })
		case 2:
			acts = append(acts, func(w *world) { w.rotateSecret("a/k0", payload, true) })
		case 3:
			acts = append(acts, func(w *world) {
				ctx, cancel := context.WithTimeout(w.ctx, 5*time.Millisecond)
				defer cancel()
				w.read(ctx, w.who[who], path, secret.Current)
			})
		default:
			acts = append(acts, func(w *world) { w.read(w.ctx, w.who[who], path, secret.Current) })
		}
	}
	delay := pick(p, 0, 10*time.Millisecond, 10*time.Millisecond)
	return step{fmt.Sprintf("%d callers at once, upstream %v", len(acts), delay), func(w *world) {
		if delay > 0 {
			w.slowly(delay)
		}
		w.crowd(len(acts), func(i int) { acts[i](w) })
	}}
}

// slowly makes an upstream that does not fail take its time.
func (w *world) slowly(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.vaultFault.kind == fine {
		w.vaultFault = fault{kind: slow, d: d, calls: 20}
	}
}

// herd is many callers who want the same secret, or fields of one object: I5.
func (p *planner) herd() step {
	path, n := p.path(), 3+p.IntN(6)
	return step{fmt.Sprintf("%d callers read %s at once", n, path), func(w *world) {
		m, name := w.place(path)
		w.mu.Lock()
		healthy := w.vaultFault.kind == fine && w.storeFault.kind == fine && w.sinkFault.kind == fine
		// News may come in the middle in the mode eventual, and where an earlier change is announced late: who asks after
		// it has a read of his own.
		healthy = healthy && m.mode != proxy.Eventual && w.vault.owed() == 0
		if healthy {
			w.vaultFault = fault{kind: slow, d: 20 * time.Millisecond, calls: 10}
		}
		w.mu.Unlock()
		from := w.clock.now()
		w.crowd(n, func(i int) {
			path := path
			if m.fields {
				path = path[:strings.LastIndexByte(path, '/')+1] + fieldNames[i%len(fieldNames)]
			}
			w.read(w.ctx, w.who["alice"], path, secret.Current)
		})
		if got := w.vault.readsSince(m.name, name, from); healthy && got > 1 {
			w.violated("I5", "%d reads of the upstream for %d callers of %s", got, n, path)
		}
		if healthy {
			w.mu.Lock()
			w.vaultFault = fault{}
			w.mu.Unlock()
		}
	}}
}

// rotateSecret is how others change a secret: in the upstream, and then in the log of facts, if they tell at all.
func (w *world) rotateSecret(name, payload string, tell bool) {
	n, _ := w.vault.commit(name, payload, false, 0)
	if !tell {
		return
	}
	for _, m := range w.setup.mounts {
		if rest, ok := strings.CutPrefix(name, m.at+"/"); ok {
			if m.fields {
				rest += "/u" // one of them tells of all
			}
			w.fact(state.Invalidation, m.name+"/"+rest)
		}
	}
	w.model.announced(name, n)
}

func (p *planner) rotate() step {
	name, payload, tell := pick(p, "a/k0", "a/k0", "a/k1", "b/k0", "a/none"), p.payload(), !p.one(4)
	if p.one(6) {
		payload = ""
	}
	return step{fmt.Sprintf("others change %s (deleted %v, told %v)", name, payload == "", tell), func(w *world) { w.rotateSecret(name, payload, tell) }}
}

func (p *planner) revoke() step {
	who := pick(p, "alice", "bob", "carol")
	if p.one(2) {
		return step{"others lift all revocations", func(w *world) { w.lift() }}
	}
	subject := pick(p, "subject:"+who, "token", "secret:one/k0", "secret:two/**", "secret:env/k0/p")
	return step{fmt.Sprintf("others revoke %s (%s)", subject, who), func(w *world) { w.revokeSubject(subject, who) }}
}

func (w *world) revokeSubject(subject, who string) {
	if subject == "token" {
		subject = "token_id:" + w.who[who].tokenID
	}
	id := w.fact(state.Revocation, subject)
	now := w.clock.now()
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	w.model.revoked = append(w.model.revoked, revocation{at: now, id: id, subject: subject})
}

func (w *world) lift() {
	w.model.mu.Lock()
	var ids []string
	w.model.revoked = slices.Clone(w.model.revoked)
	for i := range w.model.revoked {
		if r := &w.model.revoked[i]; !r.lifted {
			r.lifted = true
			ids = append(ids, r.id)
		}
	}
	w.model.mu.Unlock()
	for _, id := range ids {
		w.fact(state.Lift, id)
	}
}

func (p *planner) passStep() step {
	d := p.length()
	return step{fmt.Sprintf("%v pass", d), func(w *world) { w.clock.pass(d) }}
}

func (p *planner) freezeStep() step {
	d := p.length()
	switch p.IntN(12) {
	case 0:
		return step{"the wall clock is set back by 20s", func(w *world) { w.clock.setBack(20 * time.Second) }}
	case 1, 2, 3, 4:
		who, path, where := "alice", p.path(), p.IntN(3)
		return step{fmt.Sprintf("frozen for %v in a request for %s (%d)", d, path, where), func(w *world) {
			w.set([]*fault{&w.vaultFault, &w.storeFault, &w.sinkFault}[where], fault{kind: freezes, d: d, calls: 1})
			w.read(w.ctx, w.who[who], path, secret.Current)
		}}
	case 5, 6:
		path, payload := p.path(), p.payload()
		return step{fmt.Sprintf("frozen for %v in a request for %s, which others change", d, path), func(w *world) {
			_, name := w.place(path)
			w.set(&w.sinkFault, fault{kind: freezes, d: d, calls: 1, then: func() { w.rotateSecret(name, payload, true) }})
			w.read(w.ctx, w.who["alice"], path, secret.Current)
		}}
	}
	return step{fmt.Sprintf("frozen for %v", d), func(w *world) { w.clock.freeze(d) }}
}

func (p *planner) vaultTrouble() step {
	f := fault{
		kind: pick(p, fails, fails, hangs, slow, denies, throttles, misroutes, panics, loses, strange, slow), d: pick(p, 2*time.Second, 6*time.Second),
		calls: pick(p, 1, 2, 6, -1),
	}
	return step{"upstream: " + f.String(), func(w *world) { w.set(&w.vaultFault, f) }}
}

func (p *planner) storeTrouble() step {
	f := fault{kind: pick(p, fails, fails, fails, hangs, slow, compacted), d: 2 * time.Second, n: p.IntN(2), calls: pick(p, 1, 3, -1)}
	return step{"state store: " + f.String(), func(w *world) { w.set(&w.storeFault, f) }}
}

func (p *planner) sinkTrouble() step {
	f := fault{kind: pick(p, fails, fails, slow), d: 3 * time.Second, n: p.IntN(300), calls: pick(p, 1, 1, 3, 30)}
	return step{"audit sink: " + f.String(), func(w *world) { w.set(&w.sinkFault, f) }}
}

func (p *planner) mendStep() step {
	d := pick(p, 0, 8*time.Second)
	return step{fmt.Sprintf("everything works again, %v pass", d), func(w *world) {
		w.mend()
		w.clock.pass(d)
	}}
}

func (p *planner) mintStep() step {
	return step{"everybody gets a new token", func(w *world) {
		for _, c := range w.who {
			if err := w.mint(c); err != nil {
				w.violated("simulator", "making a token: %v", err)
			}
		}
	}}
}

func (p *planner) reload() step {
	r := &ruling{deny: map[string]string{}, broken: p.one(8), restricted: pick(p, "", "", "one", "two", "env/k0/p")}
	if p.one(2) {
		r.deny[pick(p, "alice", "bob", "carol")] = pick(p, "one", "two", "one/k0")
	}
	return step{"reload: " + r.String(), func(w *world) {
		r.revision = w.rule.revision + 1
		w.rule = r
		w.model.enact(r, func() {
			if err := w.life.reload(w); err != nil {
				w.violated("simulator", "reloading: %v", err)
			}
		})
	}}
}

// killStep kills the process, in the middle of something or not, or ends it in order, and starts it again.
func (p *planner) killStep() step {
	inner, after := p.writeStep(), p.IntN(6)
	if p.one(3) {
		inner = p.burst()
	}
	if p.one(5) {
		return step{"stopped and started", func(w *world) {
			w.mend()
			w.clock.pass(2 * time.Second)
			if err := w.stop(); err != nil {
				w.violated("I1", "stopping: %v", err)
				return
			}
			w.start()
		}}
	}
	return step{fmt.Sprintf("killed after %d operations of: %s", after, inner.name), func(w *world) {
		w.life.plug.pullAfter(after)
		inner.run(w)
		w.bury()
		w.start()
	}}
}

func (w *world) start() {
	if err := w.restart(); err != nil {
		w.violated("availability", "%v", err)
	}
}
