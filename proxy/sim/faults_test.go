package sim_test

import (
	"fmt"
	"time"
)

// kind is a way in which something fails.
type kind uint8

const (
	fine      kind = iota
	fails          // it answers that it cannot
	hangs          // it does not answer before it is given up
	slow           // it takes d, and then does it
	freezes        // the process is frozen for d in the middle of it
	compacted      // the state store's log begins later
	denies         // the upstream: we may not have it
	throttles      // the upstream: slow down
	misroutes      // the upstream: there is no such mount
	panics         // the adapter breaks down, with a secret in hand
	loses          // it is done and the answer lost
	strange        // an error that no contract names
)

var kindNames = [...]string{
	"fine", "fails", "hangs", "slow", "freezes", "compacted", "denies", "throttles", "misroutes", "panics", "loses", "strange",
}

// fault is what the next calls meet.
type fault struct {
	kind  kind
	d     time.Duration
	n     int    // bytes that a failing write stores nevertheless
	calls int    // how many meet it; negative: all until it is mended
	then  func() // happens in the middle of it
}

func (f fault) String() string {
	s := kindNames[f.kind]
	if f.d > 0 {
		s += fmt.Sprintf(" %v", f.d)
	}
	if f.calls > 0 {
		s += fmt.Sprintf(" for %d calls", f.calls)
	}
	return s
}

// take returns what this call meets, and counts it.
func (w *world) take(f *fault) fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := *f
	if f.kind == fine {
		return now
	}
	w.disturbed = w.clock.now()
	if f.calls > 0 {
		if f.calls--; f.calls == 0 {
			*f = fault{}
		}
	}
	return now
}

func (w *world) set(f *fault, to fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*f = to
	w.disturbed = w.clock.now()
}

// mend ends all faults.
func (w *world) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vaultFault, w.storeFault, w.sinkFault = fault{}, fault{}, fault{}
	w.disturbed = w.clock.now()
}

// calm reports whether nothing failed for as long as anything remembers a failure, up to i.
func (w *world) calm(i instant) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	none := w.vaultFault.kind == fine && w.storeFault.kind == fine && w.sinkFault.kind == fine
	return none && i.mono-w.disturbed.mono > 7*time.Second && w.disturbed.before(i)
}
