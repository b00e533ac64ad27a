package audit

import (
	"context"
	"errors"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Sink takes the lines of a log and answers once they are as safe as it promises. Log calls Open once, before everything
// else, then Write and Reopen one at a time, never two at once, and Close last. A sink bounds the time its calls take:
// requests wait for them. Package audittest holds the conformance suite.
type Sink interface {
	// Open prepares the sink and tells where the log that it holds ends. It refuses a place that holds something else,
	// or that another writer has: two writers would fork the chain.
	Open() (Tail, error)
	// Write appends whole lines and returns nil once they are acknowledged. After an error it is unknown how much of
	// the batch is stored, and Reopen comes before the next Write. The sink must not keep batch.
	Write(batch []byte) error
	// Reopen leaves the place of the failed Write, or the one that is full, as it is, for Verify to read, and begins a new
	// one with batch, whose first line is a birth record. It never writes to what failed. It returns nil once batch is
	// acknowledged; after an error it is called again later with another batch. Where the place is shared (Tail.Shared) it
	// goes on there.
	Reopen(batch []byte) error
	// Full reports whether the log should go on in a new place, and can as far as the sink knows: a place that is more than
	// full but can be written is better than none. It is asked after each batch that was acknowledged; Reopen then comes
	// with one of the next two batches.
	Full() bool
	// Close releases the sink. What was acknowledged stays so.
	Close() error
}

// Checker is a Sink that can be asked whether it would take records, without Open.
type Checker interface {
	// Checkup asks the service what Write needs of it, and adds nothing to what is read back. It puts no credential into
	// what it returns, and honours ctx. The keys of a Trouble are those of the sink's configuration.
	Checkup(ctx context.Context) secret.Checkup
}

// Tail is the end of the log that a sink holds.
type Tail struct {
	Last Position // zero where there is no record, or the sink cannot read back
	Torn uint64   // bytes of an incomplete last line that Open took away and kept elsewhere

	// Shared: the lines go to where those of other instances are, and nothing sets apart what a failed write stored and what
	// came after it. Reopen goes on there, and the log goes on as another instance, so that no sequence number of one
	// instance ever stands for two records. The sink's answers come from elsewhere, too: New does not wait for the first,
	// and nobody waits for one when his context has ended.
	Shared bool
}

// ErrNotLog is wrapped by Sink.Open where the place holds something that is not an audit log. The operator must name
// another place, or look at what is there.
var ErrNotLog = errors.New("not an audit log")

// ErrInUse is wrapped by Sink.Open where another process writes to this log.
var ErrInUse = errors.New("audit log is in use by another process")
