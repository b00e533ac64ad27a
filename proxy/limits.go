package proxy

import (
	"context"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// Limits bound what callers may ask for. Zero sets no limit.
type Limits struct {
	PerSource    int // requests per second from one source address, an IPv6 /64 being one
	PerPrincipal int // requests per second from one principal, whatever the number of its tokens
	InFlight     int // requests at one time; the last quarter of them only answers from the cache
}

// overloadRetry is the advice to who was shed: what is overloaded now may not be in a second.
const overloadRetry = time.Second

func overloaded() *Error {
	e := fail(api.Overloaded, "the server has more requests than it can serve; try again later")
	e.RetryAfter = overloadRetry
	return e
}

// Enter admits a request, or fails with Overloaded where so many are served that there is no place for it soon. A surface
// calls it before it reads a body, and Leave when the answer is written. A request with a body is refused at once when
// only reads from the cache are answered: it is none.
func (p *Proxy) Enter(ctx context.Context, body bool) error {
	most := p.mostInFlight()
	if body && !p.gate.take(forUpstreams(most)) || !body && !p.gate.enter(ctx, most) {
		return overloaded()
	}
	return nil
}

// Leave ends what Enter admitted.
func (p *Proxy) Leave() { p.gate.leave(p.mostInFlight()) }

// Await gives the place of a request back while wait waits for its client, who may be slow, and takes one again. Where
// there is none then, it fails with Overloaded; the request has to Leave all the same, be it that wait panics.
func (p *Proxy) Await(wait func()) (err error) {
	p.Leave()
	defer func() {
		most := forUpstreams(p.mostInFlight())
		if n := p.gate.inFlight.Add(1); most > 0 && n > most {
			err = overloaded()
		}
	}()
	wait()
	return nil
}

func (p *Proxy) mostInFlight() int64 { return int64(p.rules.Load().Limits.InFlight) }

// forUpstreams is how many requests may be in flight when one begins that needs an upstream. The rest is kept for reads
// from the cache, which a slow upstream can therefore not crowd out.
func forUpstreams(most int64) int64 { return most - most/4 }

// room reports whether t may begin work that needs an upstream.
func (p *Proxy) room(t *transaction) bool {
	most := int64(t.rules.Limits.InFlight)
	return most == 0 || p.gate.inFlight.Load() <= forUpstreams(most)
}

// limitSource comes before the token is looked at, so that guessing tokens is limited too.
func (p *Proxy) limitSource(ctx context.Context, c *Call, t *transaction) error {
	rate := t.rules.Limits.PerSource
	if rate == 0 {
		return nil
	}
	wait := p.sources.take(p.sources.source(c.SourceIP), rate, p.mono())
	return p.limited(ctx, t, wait, "too many requests from this address; slow down")
}

func (p *Proxy) limitPrincipal(ctx context.Context, pr *policy.Principal, t *transaction) error {
	rate := t.rules.Limits.PerPrincipal
	if rate == 0 {
		return nil
	}
	wait := p.principals.take(p.principals.principal(pr.Trust, pr.Issuer, pr.Subject), rate, p.mono())
	return p.limited(ctx, t, wait, "too many requests by this principal; slow down")
}

// limited refuses a request that has to wait.
func (p *Proxy) limited(ctx context.Context, t *transaction, wait time.Duration, message string) error {
	if wait <= 0 {
		return nil
	}
	e := fail(api.RateLimited, message)
	e.RetryAfter = wait
	return p.refuse(ctx, t, e)
}
