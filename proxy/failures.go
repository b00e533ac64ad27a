package proxy

import (
	"context"
	"hash/maphash"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// Who fails to authenticate again and again is held back, whatever the limits are: each try costs a signature, and what is
// said of each tells a little. Only failures count, so that callers with good tokens behind the same address are not
// counted for what others do there.
const (
	// failureRate is how many failed authentications a second one source may cause: enough for the pods of a cluster that
	// come with expired tokens at one time, and too few to guess anything or to keep a processor busy.
	failureRate = 20
	// tokenFailureRate is how many of them one token may cause from there. A client that keeps sending the token that has
	// expired is thus stopped by itself, before it holds back its neighbours.
	tokenFailureRate = 5
)

// failures knows who failed to authenticate within the last second.
type failures struct {
	*buckets
	// until is when the last bucket will be full again, on the monotonic clock. Before the first failure, and a second after
	// the last, nothing is looked up.
	until atomic.Int64
}

func newFailures() *failures { return &failures{buckets: newBuckets()} }

// token is the bucket of a token from a source.
func (f *failures) token(source uint64, token string) uint64 {
	return maphash.Comparable(f.seed, [2]uint64{source, maphash.String(f.seed, token)})
}

// wait says how long the source, or the token from there, has to wait before it may fail once more. A source that nobody
// tells is everybody: what strangers send holds back none but the token that they send.
func (f *failures) wait(address, token string, now time.Duration) time.Duration {
	if now >= time.Duration(f.until.Load()) {
		return 0
	}
	source := f.source(address)
	wait := f.buckets.wait(f.token(source, token), tokenFailureRate, now)
	if address != "" {
		wait = max(wait, f.buckets.wait(source, failureRate, now))
	}
	return wait
}

// note counts a failure.
func (f *failures) note(address, token string, now time.Duration) {
	source := f.source(address)
	f.take(source, failureRate, now)
	f.take(f.token(source, token), tokenFailureRate, now)
	for full := int64(now + time.Second); ; {
		if until := f.until.Load(); until >= full || f.until.CompareAndSwap(until, full) {
			return
		}
	}
}

// holdBack refuses a token before anything is computed or looked up for it, where too many that came from its source did
// not verify. One that verified before passes.
func (p *Proxy) holdBack(ctx context.Context, t *transaction) error {
	if t.iam != nil {
		return nil
	}
	wait := p.failures.wait(t.rec.Via.SourceIP, t.sent, p.mono())
	if wait <= 0 || p.known(t) {
		return nil
	}
	e := fail(api.RateLimited, "too many tokens from this address did not verify; slow down")
	e.RetryAfter = wait
	return p.unverified(ctx, t, e)
}

// known reports whether the token verified before, or is a project token, by what this node has at hand.
func (p *Proxy) known(t *transaction) bool {
	if !identity.IsProjectToken(t.sent) {
		return t.rules.Verifier.Knows(t.sent)
	}
	digest, err := identity.ProjectTokenDigest(t.sent)
	return err == nil && p.fresh.tokens.Load().byDigest[digest] != nil
}

// failed counts e against who sent the token, if that is what e says: what is wrong here is nobody's failure.
func (p *Proxy) failed(t *transaction, e *Error) {
	if e.Code.Status() == http.StatusUnauthorized {
		p.failures.note(t.rec.Via.SourceIP, t.sent, p.mono())
	}
}
