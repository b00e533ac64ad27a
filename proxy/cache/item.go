package cache

import (
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// What an entry is counted as besides its own bytes: the two map slots, list node, key headers, allocator slack.
const (
	EntryOverhead = 768 // per entry
	PartOverhead  = 96  // per field and per metadata pair
)

// item is one fetched version. It is immutable but for what is marked, and lives while refs is positive.
type item struct {
	key    Key
	secret *secret.Secret
	tag    [16]byte
	read   instant       // when the upstream read started, less the age that the value came with
	epoch  uint64        // clock.epoch then
	keep   time.Duration // TTL.keep of the Get that started the read; only the sweeper goes by it
	cost   int64

	refs atomic.Int32 // the cache itself, flights, and handles

	// Guarded by Cache.mu.
	failed       instant // when the last refresh failed, if it did: none is tried for a moment
	vain         bool    // the last refresh did not fail, but was not waited for any more; with Config.RefreshInline only
	rejected     bool    // does not work any more, somebody says
	prev, next   *item   // the chain of one place; next also chains the dead
	older, newer *item   // the queue of one keep, in the order of the reads' ends
}

// Cost is what an entry counts against Config.Bytes: secret bytes, metadata, key, and the overheads above.
func Cost(k Key, s *secret.Secret) int64 {
	n := EntryOverhead + k.size() + s.Size() + len(s.Version) + PartOverhead*(len(s.Fields)+len(s.Metadata))
	for k, v := range s.Metadata {
		n += len(k) + len(v)
	}
	return int64(n)
}

func (it *item) age(now instant) time.Duration { return it.read.since(now) }

// handle takes a reference. The caller must know that refs is positive: it holds Cache.mu and found it in the cache.
func (it *item) handle(age time.Duration, s State) Handle {
	it.refs.Add(1)
	return Handle{it: it, age: age, state: s}
}

func (it *item) release() {
	switch n := it.refs.Add(-1); {
	case n == 0:
		it.secret.Wipe()
	case n < 0:
		panic("cache: a handle was released twice")
	}
}
