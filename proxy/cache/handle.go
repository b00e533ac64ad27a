package cache

import (
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// State says how a value was had, in the words of the audit record and the X-Keyhole-Cache header.
type State string

// The states a Get can end in.
const (
	Hit      State = "hit"      // from the cache, within its hard TTL
	Miss     State = "miss"     // from the upstream, by this caller's read or one it joined
	Stale    State = "stale"    // from the cache, past its hard TTL, because the upstream fails; or the upstream's own is so
	Negative State = "negative" // not a value but the memory that there is none: see NegativeError
)

// Handle is a reader's hold on a value. It must be released exactly once; copies count as the same handle. The zero
// Handle holds nothing.
type Handle struct {
	it    *item
	age   time.Duration
	state State
}

// Secret is the value itself, shared with other readers: it must not be changed, wiped, or used after Release.
func (h *Handle) Secret() *secret.Secret {
	if h.it == nil {
		return nil
	}
	return h.it.secret
}

// Tag is Config.Tag of the secret.
func (h *Handle) Tag() [16]byte {
	if h.it == nil {
		return [16]byte{}
	}
	return h.it.tag
}

// State says how the value was had.
func (h *Handle) State() State { return h.state }

// Age is how old the value was when Get returned, counted from the start of the upstream read, and more by the age that it
// came with.
func (h *Handle) Age() time.Duration { return h.age }

// FetchedAt is the wall-clock time, to the millisecond, at which the upstream read started, less the age that the value
// came with.
func (h *Handle) FetchedAt() time.Time {
	if h.it == nil {
		return time.Time{}
	}
	return time.UnixMilli(h.it.read.wall).UTC()
}

// Release ends the hold. The value is wiped when it has left the cache and this was its last reader. Releasing the same
// variable again does nothing; releasing a copy as well panics rather than wipe a value under another reader, where the
// count shows it.
func (h *Handle) Release() {
	if it := h.it; it != nil {
		h.it = nil
		it.release()
	}
}
