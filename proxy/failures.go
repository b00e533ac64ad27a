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

// strange is the bucket of a source for tokens whose key is not known. They are counted apart: no signature was computed
// for them, and whoever sends many keeps nobody waiting whose key is known.
func (f *failures) strange(source uint64) uint64 {
	return maphash.Comparable(f.seed, [3]uint64{source})
}

// wait says how long the source, or the token from there, has to wait before it may fail once more, and how long where the
// key of the token is not known. A source that nobody tells is everybody: what strangers send holds back none but the
// token that they send.
func (f *failures) wait(address, token string, now time.Duration) (wait, strange time.Duration) {
	if now >= time.Duration(f.until.Load()) {
		return 0, 0
	}
	source := f.source(address)
	wait = f.buckets.wait(f.token(source, token), tokenFailureRate, now)
	if address != "" {
		wait = max(wait, f.buckets.wait(source, failureRate, now))
		strange = f.buckets.wait(f.strange(source), failureRate, now)
	}
	return wait, max(wait, strange)
}

// note counts a failure; strange says that it was for want of the key.
func (f *failures) note(address, token string, strange bool, now time.Duration) {
	source := f.source(address)
	if strange {
		f.take(f.strange(source), failureRate, now)
	} else {
		f.take(source, failureRate, now)
	}
	f.take(f.token(source, token), tokenFailureRate, now)
	for full := int64(now + time.Second); ; {
		if until := f.until.Load(); until >= full || f.until.CompareAndSwap(until, full) {
			return
		}
	}
}

// holdBack refuses a token before anything is computed or looked up for it, where too many that came from its source did
// not verify. One that verified before passes, and one whose key is known where it was keys that were not.
func (p *Proxy) holdBack(ctx context.Context, t *transaction) error {
	if t.iam != nil {
		return nil
	}
	wait, strange := p.failures.wait(t.rec.Via.SourceIP, t.sent, p.mono())
	if strange <= 0 || p.known(t) {
		return nil
	}
	if wait <= 0 {
		if t.rules.Verifier.HasKey(t.sent) {
			return nil
		}
		wait = strange
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
		p.failures.note(t.rec.Via.SourceIP, t.sent, e.Code == api.UnknownKey, p.mono())
	}
}
