package audit

import (
	"context"
	"time"
)

// counting records the counts of refusals when their second is over, whether or not more come.
func (l *Log) counting() {
	defer close(l.counted)
	timer := time.NewTimer(refusalWindow)
	defer timer.Stop()
	for {
		select {
		case <-l.stopCounting:
			return
		case <-l.refusals.wake:
			timer.Reset(refusalWindow)
		case <-timer.C:
			if more, err := l.recordCounts(false); more || err != nil {
				timer.Reset(refusalWindow)
			}
		}
	}
}

// recordCounts ends the aggregates that are over. It returns whether others go on. What could not be recorded is kept for
// the next time.
func (l *Log) recordCounts(urgent bool) (more bool, err error) {
	due, more := l.refusals.ended(time.Now())
	begun := due[:0]
	for _, w := range due {
		if <-w.ready; w.err == nil {
			begun = append(begun, w)
		}
	}
	for len(begun) > 0 {
		n := min(len(begun), countsAtOnce)
		if err := l.appendCounts(begun[:n], urgent); err != nil {
			l.refusals.again(begun)
			return more, err
		}
		begun = begun[n:]
	}
	return more, nil
}

func (l *Log) appendCounts(due []*window, urgent bool) error {
	l.mu.Lock()
	b, leads, err := l.joinLocked(urgent)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	for _, w := range due {
		l.addLocked(b, &Record{
			ID: l.newID(), Time: l.cfg.Wall(), Kind: Aggregate, Pair: w.id, Count: w.count,
			Via: Via{SourceIP: w.source}, Decision: Decision{Reason: w.reason()},
		}, Chain{})
	}
	if l.unsigned >= l.cfg.CheckpointEvery {
		l.addSignedLocked(b, Checkpoint, Chain{})
	}
	return l.awaitAndUnlock(context.Background(), b, leads)
}
