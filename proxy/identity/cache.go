package identity

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// rememberFor is how long one verification may stand in for the next, in seconds.
const rememberFor = 60

// verifications remembers good verifications under the digest of the whole token; failures are never remembered. Each
// shard keeps two generations of bounded size: a full young one becomes the old one, whose unused entries then go.
type verifications struct {
	perGeneration int
	shards        [16]shard
}

type shard struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]*verification
}

// verification is never changed.
type verification struct {
	verified *Verified
	window   window
	issuer   *issuer
	key      *key
	at       int64 // wall clock, in seconds since 1970
}

func newVerifications(entries int) *verifications {
	v := &verifications{}
	v.perGeneration = max(1, entries/(2*len(v.shards)))
	return v
}

func (v *verifications) shard(digest *[sha256.Size]byte) *shard {
	return &v.shards[int(digest[0])%len(v.shards)]
}

// get returns a verification made within the last minute. The caller must see whether its key still stands, and hold its
// window against the clock.
func (v *verifications) get(digest [sha256.Size]byte, now time.Time) *verification {
	s := v.shard(&digest)
	s.mu.Lock()
	e, young := s.young[digest]
	if e == nil {
		e = s.old[digest]
	}
	if e != nil && !e.fresh(now.Unix()) {
		s.dropLocked(digest)
		e = nil
	}
	if e != nil && !young {
		s.addLocked(digest, e, v.perGeneration)
	}
	s.mu.Unlock()
	return e
}

// holds reports whether there is a verification, however long ago it was made.
func (v *verifications) holds(digest [sha256.Size]byte) bool {
	s := v.shard(&digest)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.young[digest] != nil || s.old[digest] != nil
}

// fresh reports whether e was made within the last minute. A clock that went back says nothing about that.
func (e *verification) fresh(now int64) bool { return now >= e.at && now-e.at < rememberFor }

// stands reports whether the issuer still has the key.
func (e *verification) stands(ctx context.Context, now time.Time) bool {
	k, err := e.issuer.key(ctx, e.key.id, now)
	return err == nil && (k == e.key || k.equal(e.key))
}

func (v *verifications) put(digest [sha256.Size]byte, e *verification) {
	s := v.shard(&digest)
	s.mu.Lock()
	s.addLocked(digest, e, v.perGeneration)
	s.mu.Unlock()
}

func (v *verifications) drop(digest [sha256.Size]byte) {
	s := v.shard(&digest)
	s.mu.Lock()
	s.dropLocked(digest)
	s.mu.Unlock()
}

func (s *shard) dropLocked(digest [sha256.Size]byte) {
	delete(s.young, digest)
	delete(s.old, digest)
}

func (s *shard) addLocked(digest [sha256.Size]byte, e *verification, limit int) {
	if _, there := s.young[digest]; s.young == nil || len(s.young) >= limit && !there {
		s.old, s.young = s.young, make(map[[sha256.Size]byte]*verification)
	}
	s.young[digest] = e
}
