// Package state is the shared log of facts: what every node of a region must know and none may forget. Revocations,
// invalidations, approvals and policy pointers are facts, numbered by one sequence without holes. The last number a node
// has applied is its generation.
package state

import (
	"context"
	"errors"
	"time"
)

// Kind says what a fact is about.
type Kind string

// The kinds of facts.
const (
	Invalidation Kind = "invalidation" // Subject: a secret.Pattern; cached values it matches are no longer served
	Revocation   Kind = "revocation"   // Subject: "token_id:…", "subject:…", "trust:…", "key_id:…" or "secret:PATTERN"
	Lift         Kind = "lift"         // Subject: the ID of the fact that no longer holds
	Approval     Kind = "approval"     // Subject: the approved request
	PolicyPtr    Kind = "policy"       // Subject: digest of the bundle that decides from here on

	ProjectToken    Kind = "project_token"     // Subject: its token_id; Payload: what it permits, and its digest
	ProjectTokenUse Kind = "project_token_use" // Subject: the token_id; At: when it was used
)

// Limits of one fact.
const (
	MaxSubjectBytes = 1 << 10
	MaxPayloadBytes = 64 << 10
)

// Fact is one entry of the log. Facts never hold secret values.
type Fact struct {
	Seq       uint64 // given by Append
	ID        string // chosen by the writer, unique; appending the same ID again returns the first one's Seq
	Kind      Kind
	Subject   string
	At        time.Time // UTC, when it was written
	ExpiresAt time.Time // zero: stays until lifted
	Payload   []byte
}

var (
	// ErrCompacted: the log no longer holds every fact after the asked seq. Drop caches and read Since(0).
	ErrCompacted = errors.New("state log compacted")
	// ErrUnavailable: the store could not be read or written now.
	ErrUnavailable = errors.New("state store unavailable")
	// ErrInvalidFact: the fact exceeds the limits or has no kind, ID or subject.
	ErrInvalidFact = errors.New("invalid fact")
)

// Store keeps the log. Implementations are safe for concurrent use and pass package statetest.
type Store interface {
	// Append adds f, durably when it returns, and returns its seq. It is idempotent in f.ID while that fact is held.
	Append(ctx context.Context, f Fact) (uint64, error)
	// Since returns, in order, all facts after seq that have not expired, and the last seq of the log. The read is
	// strongly consistent. Since(0) returns the snapshot of everything that still holds. An unexpired seq older than
	// the log answers ErrCompacted.
	Since(ctx context.Context, seq uint64) ([]Fact, uint64, error)
	// Close releases the store.
	Close() error
}

// Watcher is a Store that tells of new facts without being asked. A watch only makes news faster: Since is the truth.
type Watcher interface {
	// Watch sends the last seq whenever it grows, until ctx is done, then closes the channel.
	Watch(ctx context.Context) (<-chan uint64, error)
}
