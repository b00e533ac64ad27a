package audit

import (
	"context"
	"time"
)

// checkpoints signs what came since the last signature, in time, and asks a failed sink for a new place even if no
// request comes: a node that is not ready gets none.
func (l *Log) checkpoints() {
	defer close(l.stopped)
	timer := time.NewTimer(l.cfg.CheckpointInterval)
	defer timer.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.kick:
			timer.Reset(reopenEvery)
		case <-timer.C:
			timer.Reset(l.tick())
		}
	}
}

// tick returns when to come again.
func (l *Log) tick() time.Duration {
	l.mu.Lock()
	if l.unsigned == 0 && !l.failed {
		l.mu.Unlock()
		return l.cfg.CheckpointInterval
	}
	b, leads, err := l.joinLocked(false)
	if err != nil {
		l.mu.Unlock()
		return reopenEvery
	}
	if !b.reopen || l.unsigned > 0 { // a birth is signed itself
		l.addSignedLocked(b, Checkpoint, Chain{})
	}
	if err := l.awaitAndUnlock(context.Background(), b, leads); err != nil {
		return reopenEvery
	}
	return l.cfg.CheckpointInterval
}
