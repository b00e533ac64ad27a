package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"runtime"
	"time"
)

// What is kept for later batches: under load one is written while the next takes records.
const (
	keepBatches = 2
	keepBuffer  = 1 << 20 // of each
)

// maxPending bounds the bytes that wait for the sink: who gives up waiting leaves his record behind. Outcomes come on top,
// at most one for each change under way.
const maxPending = 8 << 20

// hangs is how long one batch may take before the sink counts as failing.
const hangs = 5 * time.Second

var (
	errBehind = errors.New("more records wait for the sink than may")
	errHangs  = errors.New("the sink does not answer")
)

// errSinkPanicked stands for the answer that a panicking sink did not give.
var errSinkPanicked = errors.New("the sink panicked")

// batch is the lines that one call of the sink takes. The caller that begins a batch leads it: it waits its turn, takes
// the batch from Log.pending, and writes it. The others wait for done.
type batch struct {
	buf     []byte
	reopen  bool // begins with a birth record for a new place
	last    Position
	done    chan struct{} // closed when settled; made by the first that waits
	settled bool
	err     error
}

// joinLocked returns the batch that takes records now, and whether the caller leads it. urgent reopens a failed sink
// before its time.
func (l *Log) joinLocked(urgent bool) (b *batch, leads bool, err error) {
	if l.closed {
		return nil, false, unavailable(errClosed)
	}
	if l.pending != nil {
		return l.pending, false, nil
	}
	if l.failed && !urgent && time.Now().Before(l.reopenAt) {
		return nil, false, unavailable(l.cause)
	}
	b = l.openBatchLocked()
	switch {
	case l.failed:
		l.failed, l.reopenAt = false, time.Now().Add(reopenEvery)
		b.reopen = true
		if l.shared {
			l.instance = l.newID()
		}
		l.addBirthLocked(b, l.acked, false)
	case l.full && !urgent: // a seal belongs to the file that it ends
		l.full = false
		b.reopen = true
		l.addBirthLocked(b, l.head, true)
	}
	return b, true, nil
}

// behindLocked reports whether so much waits for the sink already that r cannot be taken. An outcome always is: without it
// nobody would learn what became of a change whose intent was acknowledged.
func (l *Log) behindLocked(r *Record) bool {
	return l.pending != nil && len(l.pending.buf) >= maxPending && r.Kind != Outcome
}

func (l *Log) openBatchLocked() *batch {
	if n := len(l.free); n > 0 {
		l.pending, l.free = l.free[n-1], l.free[:n-1]
	} else {
		l.pending = new(batch)
	}
	return l.pending
}

// addLocked encodes and chains one record that the log does not sign.
func (l *Log) addLocked(b *batch, r *Record, c Chain) {
	c.Region, c.Instance, c.Seq, c.Prev = l.cfg.Region, l.instance, l.head.Seq+1, l.head.Hash
	if r.Time.IsZero() || r.Kind == "" {
		given := *r
		r = &given
		if r.Time.IsZero() {
			r.Time = l.cfg.Wall()
		}
		if r.Kind == "" {
			r.Kind = Access
		}
	}
	start := len(b.buf)
	b.buf = appendBody(b.buf, r, &c)
	l.endLineLocked(b, start, &c)
	l.unsigned++
}

// addSignedLocked encodes, signs and chains a birth, checkpoint or seal.
func (l *Log) addSignedLocked(b *batch, k Kind, c Chain) {
	c.Region, c.Instance, c.Seq, c.Prev = l.cfg.Region, l.instance, l.head.Seq+1, l.head.Hash
	start := len(b.buf)
	b.buf = appendBody(b.buf, &Record{ID: l.newID(), Time: l.cfg.Wall(), Kind: k}, &c)
	key := l.keyLocked()
	b.buf = appendKeyID(b.buf, l.keyID)
	message := appendSigned(nil, c.Instance, c.Seq, signedDigest(b.buf[start:]))
	b.buf = appendSignature(b.buf, (*[ed25519.SignatureSize]byte)(ed25519.Sign(key, message)))
	l.endLineLocked(b, start, &c)
	l.unsigned = 0
}

// keyLocked is the key, whose public half is there from its first use on.
func (l *Log) keyLocked() ed25519.PrivateKey {
	if l.keyID == "" {
		if l.cfg.Key == nil {
			l.cfg.Key = ed25519.NewKeyFromSeed(l.cfg.Seed)
		}
		l.keyID = KeyID(l.cfg.Key.Public().(ed25519.PublicKey))
	}
	return l.cfg.Key
}

// addBirthLocked begins a new place, after the record at from: the last that was acknowledged, or where the place is new
// because the old one is full the last that was encoded. That one may still be on its way: if it fails, b fails with it.
func (l *Log) addBirthLocked(b *batch, from Position, rotated bool) {
	l.head = Position{Instance: l.instance, Hash: from.Hash}
	if from.Instance == l.instance {
		l.head.Seq = from.Seq
	}
	c := Chain{Continues: Place{from.Instance, from.Seq}, Rotated: rotated}
	if l.cfg.ShowKey {
		c.PublicKey = Key(l.keyLocked().Public().(ed25519.PublicKey))
	}
	l.addSignedLocked(b, Birth, c)
}

func (l *Log) endLineLocked(b *batch, start int, c *Chain) {
	b.buf, c.Hash = appendHash(b.buf, start)
	l.head = c.Position()
	b.last = l.head
}

// awaitAndUnlock returns once b is settled, or ctx is done. Whoever leads writes b itself, or where the answer comes from
// elsewhere has it written.
func (l *Log) awaitAndUnlock(ctx context.Context, b *batch, leads bool) error {
	if leads && !l.shared {
		l.mu.Unlock()
		return l.lead(b)
	}
	if b.done == nil {
		b.done = make(chan struct{})
	}
	done := b.done
	if leads {
		l.leading.Go(func() { _ = l.lead(b) })
	}
	l.mu.Unlock()
	select {
	case <-done:
		return b.err
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
}

// lead writes b when the batch before it is settled.
func (l *Log) lead(b *batch) error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	// Whoever is about to append gets into this batch: one write for several records is worth the wait of a turn of the
	// scheduler.
	runtime.Gosched()
	l.mu.Lock()
	if b.settled { // the batch before failed, and b with it
		l.mu.Unlock()
		return b.err
	}
	l.pending, l.writing = nil, time.Now()
	l.mu.Unlock()

	err := errSinkPanicked
	defer func() { l.settle(b, err) }()
	if b.reopen {
		err = l.cfg.Sink.Reopen(b.buf)
	} else {
		err = l.cfg.Sink.Write(b.buf)
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// settle tells everybody who waits for b. After a failure the place of the log's end is unknown: all that was encoded
// after the last acknowledged record is refused, and the next batch begins a new place.
func (l *Log) settle(b *batch, err error) {
	full := err == nil && l.cfg.Sink.Full()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = time.Time{}
	if err == nil {
		if l.cause != nil {
			l.cause = nil
			l.cfg.Logger.Info("audit log is available again")
		}
		l.acked = b.last
		if l.pending == nil || !l.pending.reopen {
			l.full = full
		}
		b.finish(nil)
		l.recycleLocked(b)
		return
	}
	l.cfg.Logger.Error("audit log failed; requests are refused until it is back", "error", err)
	l.cause, l.failed, l.full = err, true, false
	b.finish(unavailable(err))
	if l.pending != nil {
		l.pending.finish(unavailable(err))
		l.pending = nil
	}
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

func (b *batch) finish(err error) {
	b.err, b.settled = err, true
	if b.done != nil {
		close(b.done)
	}
}

// recycleLocked keeps what nobody else holds: the whole batch, or its buffer where others still read the outcome.
func (l *Log) recycleLocked(b *batch) {
	if len(l.free) == keepBatches || cap(b.buf) > keepBuffer {
		return
	}
	kept := b
	if b.done != nil {
		kept = new(batch)
	}
	*kept = batch{buf: b.buf[:0]}
	l.free = append(l.free, kept)
}
