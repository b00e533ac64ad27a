package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ErrUnavailable is wrapped where a record is not acknowledged: the caller must not release or change anything and
// answers 503. The record may be in the log nevertheless.
var ErrUnavailable = errors.New("audit log unavailable")

// ErrInvalidRecord is wrapped where a record lacks what every record needs, or is of a kind that only the log writes: a
// defect of the caller. Nothing was written; as with ErrUnavailable nothing may be released.
var ErrInvalidRecord = errors.New("invalid audit record")

// errClosed is the cause of ErrUnavailable after Close.
var errClosed = errors.New("closed")

// reopenEvery bounds how often a failed sink is asked for a new place: each success may leave a file behind.
const reopenEvery = time.Second

// Config configures a Log.
type Config struct {
	Sink Sink               // required; Log closes it
	Key  ed25519.PrivateKey // signs checkpoints, and value MACs are derived from it
	Seed []byte             // of Key and in its place, where New should not wait for the public half

	// Region of the records; may be empty. Instance names this run of this node in them; default a new ULID. Both are
	// at most 128 of A-Z a-z 0-9 . _ : / $ [ ] -. A name that is used again continues its own sequence, and must be new
	// for a sink that cannot read back.
	Region, Instance string

	ShowKey bool // birth records hold the public half of Key: for a key that nobody has but this process

	CheckpointEvery    int           // records between two signatures at most; default 1000
	CheckpointInterval time.Duration // and time, where records came; default 10 s

	Wall   func() time.Time // default time.Now; only for times in records
	Logger *slog.Logger     // default: none; told when the sink fails and when it is back
}

func (c *Config) setDefaults() {
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.CheckpointEvery == 0 {
		c.CheckpointEvery = 1000
	}
	if c.CheckpointInterval == 0 {
		c.CheckpointInterval = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func (c *Config) check() error {
	switch {
	case c.Sink == nil:
		return errors.New("audit: no sink")
	case c.Key != nil && c.Seed != nil:
		return errors.New("audit: both a key and a seed")
	case c.Seed != nil && len(c.Seed) != ed25519.SeedSize:
		return fmt.Errorf("audit: seed of %d bytes, want that of an Ed25519 key", len(c.Seed))
	case c.Seed == nil && len(c.Key) != ed25519.PrivateKeySize:
		return fmt.Errorf("audit: key of %d bytes, want an Ed25519 private key", len(c.Key))
	case c.Instance != "" && !validName(c.Instance):
		return fmt.Errorf("audit: instance %.80q is longer than %d bytes or has other characters than A-Z a-z 0-9 . _ : / $ [ ] -", c.Instance, maxName)
	case c.Region != "" && !validName(c.Region):
		return fmt.Errorf("audit: region %.80q is longer than %d bytes or has other characters than A-Z a-z 0-9 . _ : / $ [ ] -", c.Region, maxName)
	case c.CheckpointEvery < 0:
		return fmt.Errorf("audit: checkpoint every %d records, want 1 or more", c.CheckpointEvery)
	case c.CheckpointInterval < 0:
		return fmt.Errorf("audit: checkpoint interval %v, want more than 0", c.CheckpointInterval)
	}
	return nil
}

// validName keeps signed bytes unambiguous: no newline, nothing to escape. Lambda's log streams are valid names.
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '-', c == ':', c == '/', c == '$', c == '[', c == ']':
		default:
			return false
		}
	}
	return true
}

// Log writes records to a sink, chained and signed. It is safe for concurrent use: records that come while a batch is
// being written go out together in the next one.
type Log struct {
	cfg    Config // but for Key, which mu guards
	macKey []byte
	shared bool // Tail.Shared

	leading sync.WaitGroup // batches that are written where their leader does not wait
	turn    chan struct{}  // holds one token, taken by whoever talks to the sink, never while holding mu

	mu       sync.Mutex
	keyID    string // "" until Key is there
	instance string
	head     Position  // of the record encoded last
	acked    Position  // of the record acknowledged last
	pending  *batch    // takes records; nil if none wait
	free     []*batch  // to use again
	unsigned int       // records since the last signature
	failed   bool      // the next batch must reopen the sink
	full     bool      // the next batch should
	cause    error     // why the sink is not healthy; nil after an acknowledgement
	reopenAt time.Time // no reopening before
	writing  time.Time // since when the sink has a batch; zero while it has none
	closed   bool

	refusals     refusals
	stopCounting chan struct{}
	counted      chan struct{}

	kick      chan struct{} // the sink failed: try soon
	stop      chan struct{}
	stopped   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// New opens the sink and writes the birth record, and a torn record if the sink found an incomplete line. It returns once
// they are acknowledged, or where the sink's answers come from elsewhere (Tail.Shared) before they are signed: records wait
// for theirs behind the birth. The errors are those of the sink.
func New(cfg Config) (*Log, error) {
	cfg.setDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Seed == nil {
		cfg.Seed = cfg.Key.Seed()
	}
	mac, err := macKey(cfg.Seed)
	if err != nil {
		return nil, err
	}
	tail, err := cfg.Sink.Open()
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	l := &Log{
		cfg: cfg, macKey: mac, acked: tail.Last, shared: tail.Shared, instance: cfg.Instance,
		refusals:     refusals{sources: make(map[string]*window), wake: make(chan struct{}, 1)},
		stopCounting: make(chan struct{}), counted: make(chan struct{}),
		turn: make(chan struct{}, 1), kick: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	l.mu.Lock() // until the birth is there: whoever appends meanwhile waits for it
	if l.shared {
		l.leading.Go(func() { _ = l.begin(tail) })
	} else if err := l.begin(tail); err != nil {
		_ = cfg.Sink.Close()
		return nil, err
	}
	go l.checkpoints()
	go l.counting()
	return l, nil
}

// begin writes the birth. It is called with mu held, and releases it.
func (l *Log) begin(tail Tail) error {
	if l.instance == "" {
		l.instance = l.newID()
	}
	b := l.openBatchLocked()
	l.addBirthLocked(b, tail.Last, false)
	if tail.Torn > 0 {
		l.addLocked(b, &Record{ID: l.newID(), Time: l.cfg.Wall(), Kind: Torn}, Chain{TornBytes: tail.Torn})
	}
	l.mu.Unlock()
	return l.lead(b)
}

// Append writes one record of kind access, intent or outcome and returns nil only once the sink has
// acknowledged it. r.ID is required, Pair for an outcome; a zero Time means now, an empty Kind access. Once ctx is done
// it stops waiting, with ErrUnavailable, but the record stays: an outcome is best appended with a context that is not the
// request's. A caller whose turn it is to write to a sink of this machine waits for it whatever ctx says. While 8 MiB wait for the
// sink, only outcomes are taken, and everything else is ErrUnavailable. r is only read.
func (l *Log) Append(ctx context.Context, r *Record) error {
	if err := checkRecord(r); err != nil {
		return err
	}
	l.mu.Lock()
	if l.behindLocked(r) {
		l.mu.Unlock()
		return unavailable(errBehind)
	}
	b, leads, err := l.joinLocked(false)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	l.addLocked(b, r, Chain{})
	if l.unsigned >= l.cfg.CheckpointEvery {
		l.addSignedLocked(b, Checkpoint, Chain{})
	}
	return l.awaitAndUnlock(ctx, b, leads)
}

func checkRecord(r *Record) error {
	switch {
	case r.Kind != "" && !r.Kind.fromCaller():
		return fmt.Errorf("%w: kind %.20q", ErrInvalidRecord, string(r.Kind))
	case !validID(r.ID):
		return fmt.Errorf("%w: the id is not a ULID", ErrInvalidRecord)
	case (r.Kind == Outcome || r.Pair != "") && !validID(r.Pair):
		return fmt.Errorf("%w: the pair is not a ULID", ErrInvalidRecord)
	}
	return nil
}

// Healthy returns nil while the sink acknowledges. After a failure, and while the sink has not answered for 5 seconds, it
// returns an error that wraps ErrUnavailable and the cause, until the sink is back.
func (l *Log) Healthy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return unavailable(errClosed)
	case l.cause != nil:
		return unavailable(l.cause)
	case !l.writing.IsZero() && time.Since(l.writing) >= hangs:
		return unavailable(errHangs)
	}
	return nil
}

// Close records the counts of refusals, refuses further records, seals the log, waits for every goroutine and closes the sink. If the sink failed before,
// it is asked for a new place once more. An error means that the log ends without a seal.
func (l *Log) Close() error {
	l.closeOnce.Do(func() { l.closeErr = l.close() })
	return l.closeErr
}

func (l *Log) close() error {
	close(l.stopCounting)
	<-l.counted
	l.refusals.close()
	_, countErr := l.recordCounts(true)

	l.mu.Lock()
	b, leads, _ := l.joinLocked(true) // fails only when closed
	l.addSignedLocked(b, Seal, Chain{})
	l.closed = true
	sealErr := l.awaitAndUnlock(context.Background(), b, leads)

	close(l.stop)
	<-l.stopped
	l.leading.Wait()
	if err := l.cfg.Sink.Close(); err != nil {
		return errors.Join(countErr, sealErr, fmt.Errorf("closing the audit log: %w", err))
	}
	return errors.Join(countErr, sealErr)
}

func (l *Log) newID() string { return NewID(l.cfg.Wall()) }

func unavailable(cause error) error { return fmt.Errorf("%w: %w", ErrUnavailable, cause) }
