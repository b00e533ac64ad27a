package proxy

import "time"

// MaxBuckets is how many callers' rates are remembered at the most.
const MaxBuckets = maxBuckets

// Buckets are the token buckets behind the rate limits.
type Buckets struct{ b *buckets }

func NewBuckets() Buckets { return Buckets{newBuckets()} }

func (b Buckets) Source(address string) uint64 { return b.b.source(address) }

func (b Buckets) Take(key uint64, rate int, now time.Duration) time.Duration {
	return b.b.take(key, rate, now)
}

func (b Buckets) Len() (n int) {
	for i := range b.b.shards {
		n += len(b.b.shards[i].young) + len(b.b.shards[i].old)
	}
	return n
}

// Waiting is how many requests wait for a place.
func Waiting(p *Proxy) int64 { return p.gate.waiting.Load() }

// WaitForUses waits until what was noted of project tokens is written.
func (p *Proxy) WaitForUses() { p.uses.wg.Wait() }

// The rates that are set whatever the limits are.
const (
	FailureRate           = failureRate
	TokenFailureRate      = tokenFailureRate
	ExchangesPerPrincipal = exchangesPerPrincipal
	ExchangesPerSource    = exchangesPerSource
)

// Failures knows who failed to authenticate.
type Failures struct{ f *failures }

func NewFailures() Failures { return Failures{newFailures()} }

func (f Failures) Note(address, token string, now time.Duration) {
	f.f.note(address, token, false, now)
}

func (f Failures) Len() int { return Buckets{f.f.buckets}.Len() }
