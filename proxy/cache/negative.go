package cache

import (
	"fmt"
	"slices"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const (
	negativeShare  = 10 // absences are remembered for a tenth as many places as there may be entries
	absencesOfPath = 4  // most selectors of one place that are remembered as absent
)

// NegativeError is the answer for a secret that its upstream said, Age ago, not to exist. It wraps secret.ErrNotFound.
type NegativeError struct{ Age time.Duration }

// Error implements error.
func (e *NegativeError) Error() string {
	return fmt.Sprintf("%v, as of %v ago", secret.ErrNotFound, e.Age)
}

// Unwrap gives secret.ErrNotFound.
func (e *NegativeError) Unwrap() error { return secret.ErrNotFound }

// absence is the upstream's word that there is no secret of a key.
type absence struct {
	key   Key
	read  instant // when the upstream read started
	epoch uint64
	keep  time.Duration
}

func (c *Cache) validLocked(a *absence, now instant) bool {
	return a.epoch == c.clock.epoch && a.read.since(now) < a.keep
}

// absentLocked remembers what f found. The random half keeps clients that failed together from coming back together.
func (c *Cache) absentLocked(f *flight, now instant) {
	if f.ttl.Negative <= 0 {
		return
	}
	a := absence{key: f.key, read: f.start, epoch: f.epoch, keep: time.Duration(float64(f.ttl.Negative) * (0.5 + c.cfg.Rand()))}
	if !c.validLocked(&a, now) {
		return
	}
	known, _ := c.negative.Peek(f.key.place())
	known = slices.DeleteFunc(known, func(old absence) bool { return old.key == f.key || !c.validLocked(&old, now) })
	if len(known) == absencesOfPath {
		known = slices.Delete(known, 0, 1)
	}
	c.negative.Add(f.key.place(), append(known, a))
}

// knownAbsentLocked is the answer for k without a read, nil where a read is needed.
func (c *Cache) knownAbsentLocked(k Key, ttl TTL, now instant) error {
	known, _ := c.negative.Get(k.place())
	a := c.absenceLocked(known, k, ttl, now)
	if a == nil {
		return nil
	}
	c.stats.Negative++
	return &NegativeError{Age: a.read.since(now)}
}

// absenceLocked finds k among what is known of its place, nil where a read is needed.
func (c *Cache) absenceLocked(known []absence, k Key, ttl TTL, now instant) *absence {
	if ttl.Negative <= 0 || c.closed {
		return nil
	}
	for i := range known {
		if a := &known[i]; a.key == k && c.validLocked(a, now) {
			return a
		}
	}
	return nil
}

// presentLocked forgets that k was absent: it has been read.
func (c *Cache) presentLocked(k Key) {
	known, ok := c.negative.Peek(k.place())
	if !ok {
		return
	}
	known = slices.DeleteFunc(known, func(a absence) bool { return a.key == k })
	if len(known) == 0 {
		c.negative.Remove(k.place())
		return
	}
	c.negative.Add(k.place(), known)
}
