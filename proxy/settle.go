package proxy

import (
	"context"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// maxDecisions bounds how often one request is decided anew before it is refused.
const maxDecisions = 3

// settle is the last step before a is released, whose record has been acknowledged. What was decided holds for one check
// interval: a request that took longer, because the upstream or the sink was slow or the process was frozen in the
// middle, looks again. If it was overtaken by facts, by the token's end or the value's, or by a policy that does not allow
// it any more, nothing of a leaves, and the request is decided anew, with a record of its own.
func (p *Proxy) settle(ctx context.Context, t *transaction, r ReadRequest, a Answer) (Answer, error) {
	for n := 1; p.late(t) && p.overtaken(ctx, t, r, &a); n++ {
		a.Release()
		t.renew(p.wall())
		if n == maxDecisions {
			return Answer{}, p.refuse(ctx, t, overtakenAgain())
		}
		if err := p.verify(ctx, t); err != nil {
			return Answer{}, err
		}
		var err error
		if a, err = p.answer(ctx, t, r); err != nil {
			return Answer{}, err
		}
	}
	return a, nil
}

func overtakenAgain() *Error {
	e := fail(api.StateUnavailable, "what was decided was overtaken before it could be answered, again and again")
	e.RetryAfter = time.Second
	return e
}

// late costs every answer one reading of the wall clock, which runs while the process is frozen. A clock that was set
// back tells nothing.
func (p *Proxy) late(t *transaction) bool {
	d := p.wall().Sub(t.rec.Time)
	return d < 0 || d >= p.fresh.interval
}

// overtaken reports whether t would not be decided now as it was, or not with the same value. What it asks again leaves
// no record: the one that t has stays true unless something changed, and then there will be another.
func (p *Proxy) overtaken(ctx context.Context, t *transaction, r ReadRequest, a *Answer) bool {
	if _, err := p.holder(ctx, t); err != nil {
		return true
	}
	decided := t.turn
	t.req.Context.Time = p.wall()
	m, e := p.judge(ctx, t, r.Path, r.Version)
	if e != nil || t.turn != decided {
		return true
	}
	// Nobody can have a younger value than one that was just read.
	bound := max(m.TTL.Hard, requestTimeout)
	switch cache.State(a.State) {
	case cache.Hit:
		bound = m.TTL.Hard
	case cache.Stale:
		bound = max(m.TTL.Hard, m.TTL.Stale)
	}
	return p.wall().Sub(a.fetched) >= bound
}

// renew makes t the transaction of a new decision about the same request.
func (t *transaction) renew(now time.Time) {
	t.req.Context.Time = now
	t.rec = audit.Record{
		ID: audit.NewID(now), Time: now, Kind: t.rec.Kind, Action: string(policy.Read), Via: t.rec.Via,
		Principal: t.rec.Principal, Resource: audit.Resource{Path: t.rec.Resource.Path},
	}
}
