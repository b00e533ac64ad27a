package proxy

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// maxBuckets bounds the callers of one kind whose rate is remembered; they take about 3 MB. Beyond it those that were
// seen longest ago are forgotten, and begin anew with a full bucket.
const maxBuckets = 1 << 16

// buckets holds a token bucket for each caller: rate tokens flow in each second, and it holds as many. A caller is known
// by a keyed hash, so that what callers choose takes no memory. Each shard keeps two generations, as the verifier does
// for tokens: a full young one becomes the old one, whose unused entries then go.
type buckets struct {
	seed   maphash.Seed
	shards [16]bucketShard
}

type bucketShard struct {
	mu sync.Mutex
	// full says when each bucket will be full again, on the monotonic clock: the one number that a bucket needs.
	young, old map[uint64]time.Duration
}

func newBuckets() *buckets { return &buckets{seed: maphash.MakeSeed()} }

// source is the bucket of an address. The 2^64 addresses of an IPv6 network are one caller, since they cost nothing.
func (b *buckets) source(address string) uint64 {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return maphash.String(b.seed, address)
	}
	if a = a.Unmap(); a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return maphash.Comparable(b.seed, a)
}

// principal is the bucket of whoever the token speaks for: the same for all of its tokens.
func (b *buckets) principal(trust, issuer, subject string) uint64 {
	return maphash.Comparable(b.seed, [3]string{trust, issuer, subject})
}

// take takes one token of key at a rate per second. Where there is none it takes nothing and says how long until there
// is one.
func (b *buckets) take(key uint64, rate int, now time.Duration) (wait time.Duration) {
	s := b.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	full, young := s.fullLocked(key, now)
	each := interval(rate)
	if wait = full + each - now - time.Second; wait > 0 {
		return wait
	}
	if s.young == nil || len(s.young) >= maxBuckets/(2*len(b.shards)) && !young {
		s.old, s.young = s.young, make(map[uint64]time.Duration)
	}
	s.young[key] = full + each
	return 0
}

// wait is how long until take would take one: 0 where it would now.
func (b *buckets) wait(key uint64, rate int, now time.Duration) time.Duration {
	s := b.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	full, _ := s.fullLocked(key, now)
	return max(full+interval(rate)-now-time.Second, 0)
}

func (b *buckets) shard(key uint64) *bucketShard { return &b.shards[key%uint64(len(b.shards))] }

// fullLocked is when the bucket is full, and whether it is in the young generation.
func (s *bucketShard) fullLocked(key uint64, now time.Duration) (full time.Duration, young bool) {
	full, young = s.young[key]
	if !young {
		full = s.old[key]
	}
	return max(full, now), young
}

// interval is the time in which one token flows in.
func interval(rate int) time.Duration { return max(time.Second/time.Duration(rate), 1) }
