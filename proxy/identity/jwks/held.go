package jwks

import (
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

const (
	// keep is how long keys serve after the fetch that brought them, whatever happens to the issuer.
	keep = 24 * time.Hour
	// lastTries is how long before that they are fetched anew at the latest.
	lastTries = time.Hour
	// grace is how long past their time keys serve without a look at whether there are others. Where work goes on between
	// requests they never get that old while the issuer answers; where it is frozen, requests have to wait for it.
	grace = 5 * time.Minute
	// patience is the age of a fetch up to which requests wait for it that could go on with old keys.
	patience = time.Second
)

// held is a set and how far it is to be trusted. It never changes.
type held struct {
	keys    *identity.KeySet
	fetched moment        // when the fetch began
	fresh   time.Duration // from then on
	bundled bool          // it came with the configuration and has no age: it serves until there is a fetched one
}

// time is how old the set may get before there should be a newer one.
func (h *held) time() time.Duration { return min(h.fresh, keep-lastTries) }

// due reports whether there should be a newer set.
func (h *held) due(now moment) bool {
	return h.bundled || now.since(h.fetched) >= h.time()
}

// overdue reports whether requests should wait a moment for a newer set.
func (h *held) overdue(now moment) bool {
	return !h.bundled && now.since(h.fetched) >= h.time()+grace
}

// dead reports whether the set must not be used any more.
func (h *held) dead(now moment) bool { return !h.bundled && now.since(h.fetched) >= keep }

// origin is for the log.
func (h *held) origin() string {
	if h.bundled {
		return "bundled keys"
	}
	return "old keys"
}
