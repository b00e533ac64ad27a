package proxy

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

const (
	// usePrecision is how often the use of one project token is noted: an hour is enough to tell which are in use, and
	// costs the log next to nothing.
	usePrecision = time.Hour
	maxUses      = 256 // that wait to be noted; those beyond are noted the next time
)

// uses notes in the log that project tokens are used, behind the requests that use them.
type uses struct {
	fresh *freshness
	wg    sync.WaitGroup // the writer

	mu      sync.Mutex
	last    map[string]time.Time // by token_id: what this node has noted, or is about to
	queue   []state.Fact
	writing bool
	closed  bool
}

func newUses(f *freshness) *uses { return &uses{fresh: f, last: map[string]time.Time{}} }

// note says that t is used now. It never waits.
func (u *uses) note(t *identity.ProjectToken, now time.Time) {
	id := t.ID()
	last := u.fresh.tokens.Load().uses[id].at
	u.mu.Lock()
	defer u.mu.Unlock()
	if own := u.last[id]; own.After(last) {
		last = own
	}
	if now.Sub(last) < usePrecision || len(u.queue) == maxUses || u.closed {
		return
	}
	if len(u.last) > maxProjectTokens {
		clear(u.last)
	}
	u.last[id] = now
	// Nodes that note the same hour write the same fact, which is one.
	u.queue = append(u.queue, state.Fact{
		ID: id + " used " + now.UTC().Format("2006-01-02T15"), Kind: state.ProjectTokenUse, Subject: id, At: now.UTC(), ExpiresAt: t.Expires,
	})
	if !u.writing {
		u.writing = true
		u.wg.Go(u.write)
	}
}

// write appends what is queued, until nothing is. It lifts the use before, so that the log holds one for each token.
func (u *uses) write() {
	for {
		u.mu.Lock()
		if len(u.queue) == 0 {
			u.writing = false
			u.mu.Unlock()
			return
		}
		f := u.queue[0]
		u.queue = u.queue[1:]
		u.mu.Unlock()
		u.append(f)
	}
}

func (u *uses) append(f state.Fact) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	before := u.fresh.tokens.Load().uses[f.Subject].fact
	err := u.fresh.tell(ctx, f)
	if err == nil && before != "" && before != f.ID {
		err = u.fresh.lift(ctx, before)
	}
	if err != nil {
		u.fresh.log.LogAttrs(ctx, slog.LevelWarn, "the use of a project token could not be noted", slog.String("error", err.Error()))
	}
}

// close waits until what was noted is written, and notes no more.
func (u *uses) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.wg.Wait()
}
