package audit

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	refusalWindow  = time.Second
	refusalsListed = 50       // of one source in a window, each with a record of its own
	maxSources     = 4 << 10  // followed apart; further ones share one count
	otherSources   = "others" // their name in records
	countsAtOnce   = 64       // records of counts in one batch
)

// refusals keeps callers who are refused again and again from filling the log. Of each source so many refusals a second
// have records of their own. The next one is recorded as the beginning of an aggregate, and those after it are counted
// until the second is over; then the count is recorded, as its end. So a count that was lost with the process shows: its
// beginning stands in the log without an end.
type refusals struct {
	mu      sync.Mutex
	sources map[string]*window
	due     []*window // over, and their counts are not recorded yet
	ticking bool      // somebody will ask for what has ended
	closed  bool      // no more aggregates: each refusal has its own record, or none
	wake    chan struct{}
}

// window is one second of one source.
type window struct {
	source string
	over   time.Time
	listed int
	id     string        // of the record that begins the aggregate; "" before
	ready  chan struct{} // closed when that record is acknowledged or refused
	err    error
	count  uint64 // refusals after that one
	codes  []codeCount
}

type codeCount struct {
	code string
	n    uint64
}

// Refuse is Append for a request that is refused because of who asks, with a code in r.Result. It returns the ID of the
// record that tells of it: r.ID, or while there are more than 50 such refusals a second from r.Via.SourceIP that of the
// record of kind aggregate which stands for them. Networks of IPv6 (/64) are one source, and so are all that exceed 4096.
func (l *Log) Refuse(ctx context.Context, r *Record) (id string, err error) {
	if err := checkRecord(r); err != nil {
		return "", err
	}
	w, begins, listed := l.refusals.take(sourceOf(r.Via.SourceIP), r, time.Now())
	switch {
	case listed:
		return r.ID, l.Append(ctx, r)
	case begins:
		given := *r
		given.Kind, given.Count = Aggregate, 1
		err := errSinkPanicked
		defer func() { l.refusals.begun(w, err) }()
		err = l.Append(ctx, &given)
		return r.ID, err
	}
	select {
	case <-w.ready:
	case <-ctx.Done():
		return "", unavailable(context.Cause(ctx))
	}
	if w.err != nil {
		return "", w.err
	}
	return w.id, l.Healthy()
}

// take counts one refusal in the window of its source. It says whether the refusal has a record of its own, or begins an
// aggregate, whose window the caller settles with begun.
func (f *refusals) take(source string, r *Record, now time.Time) (w *window, begins, listed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w = f.sources[source]
	if w == nil && len(f.sources) >= maxSources {
		source = otherSources
		w = f.sources[source]
	}
	if w != nil && !now.Before(w.over) {
		f.endLocked(w)
		w = nil
	}
	if w == nil {
		w = &window{source: source, over: now.Add(refusalWindow)}
		f.sources[source] = w
		f.tickLocked()
	}
	if w.listed < refusalsListed || f.closed || len(f.due) > maxSources {
		w.listed++
		return w, false, true
	}
	if w.id == "" {
		w.id, w.ready = r.ID, make(chan struct{})
		return w, true, false
	}
	w.count++
	w.add(r.Result.Code)
	return w, false, false
}

// begun settles the beginning of an aggregate. If it could not be recorded, none of its refusals was answered, and the
// window starts anew.
func (f *refusals) begun(w *window, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.err = err
	close(w.ready)
	if err == nil {
		return
	}
	if f.sources[w.source] == w {
		delete(f.sources, w.source)
	}
}

// endLocked takes a window out, and keeps it where it has a count to record.
func (f *refusals) endLocked(w *window) {
	delete(f.sources, w.source)
	if w.id != "" {
		f.due = append(f.due, w)
	}
}

// ended returns the windows that are over, and whether others go on.
func (f *refusals) ended(now time.Time) (due []*window, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.sources {
		if f.closed || !now.Before(w.over) {
			f.endLocked(w)
		}
	}
	due, f.due = f.due, nil
	f.ticking = len(f.sources) > 0
	return due, f.ticking
}

// again keeps the windows whose counts could not be recorded.
func (f *refusals) again(due []*window) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due = append(f.due, due...)
	f.ticking = true
}

// close ends all windows.
func (f *refusals) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

func (f *refusals) tickLocked() {
	if f.ticking {
		return
	}
	f.ticking = true
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// add counts the code; there are few.
func (w *window) add(code string) {
	for i := range w.codes {
		if w.codes[i].code == code {
			w.codes[i].n++
			return
		}
	}
	w.codes = append(w.codes, codeCount{code, 1})
}

// sourceOf names what is counted together. Whoever has one IPv6 address usually has the 2^64 of its network.
func sourceOf(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil || !a.Is6() || a.Is4In6() {
		return ip
	}
	network, err := a.Prefix(64)
	if err != nil {
		return ip
	}
	return network.String()
}

// reason tells the codes of what was counted.
func (w *window) reason() string {
	var b strings.Builder
	for i, c := range w.codes {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", c.code, c.n)
	}
	return b.String()
}
