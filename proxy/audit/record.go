// Package audit writes the tamper-evident record of every decision: a closed record, a hash chain per instance with
// signed checkpoints, sinks that acknowledge, and the verifier that finds an edit.
//
// Laws: a record is acknowledged before what it tells of is released; a failed sink fails the request; nothing secret is
// ever in a record.
package audit

import "time"

// Kind says what a record tells of.
type Kind string

// The kinds of records. The first three come from requests; the rest are written by the log itself.
const (
	Access     Kind = "access"     // one decision: a read, list, explain, failed authentication …
	Intent     Kind = "intent"     // a change that is about to be made
	Outcome    Kind = "outcome"    // how the change of Record.Pair ended
	Birth      Kind = "birth"      // first record of a file; names the last hash of the file it continues
	Checkpoint Kind = "checkpoint" // Ed25519 signature over {instance, seq, hash}
	Seal       Kind = "seal"       // a checkpoint at orderly shutdown: the chain ends here
	Torn       Kind = "torn"       // an incomplete last line was found at start and moved to FILE.torn
	Aggregate  Kind = "aggregate"  // Count refusals of one source that were not recorded one by one
)

// Limits of what comes from outside, in bytes; longer texts are cut.
const (
	MaxUserAgent = 128
	MaxReason    = 256
)

// Record is what happened. It is a closed struct: a field that is not here is not recorded. Texts that callers control
// are cut and escaped by the encoder.
type Record struct {
	ID   string // ULID of the decision
	Time time.Time
	Kind Kind
	Pair string // Outcome: ID of its Intent record

	Principal Principal
	Via       Via
	Action    string // an action of package policy, or authenticate, explain, report, exchange, token_create
	Resource  Resource
	Decision  Decision
	Cache     Cache
	Result    Result
	Anomaly   []string
	Count     uint64 // Aggregate
}

// Principal is who asked.
type Principal struct {
	Trust   string
	Issuer  string
	Subject string
	IDs     []ID   // immutable ids from the token, sorted by name
	TokenID string // jti, or sha256: and hex digits; for a refused token a prefix of its SHA-256
	Cnf     string
}

// ID is one immutable id of a principal, such as project_id.
type ID struct{ Name, Value string }

// Via is the way the request came.
type Via struct {
	Surface   string
	SourceIP  string
	UserAgent string
	RequestID string
	TraceID   string
}

// Resource is what was asked for. Path is a prefix for a list.
type Resource struct {
	Path           string
	Version        string // the version that was served or written
	Mount          string
	Classification string
}

// Decision is the answer of the decision path.
type Decision struct {
	Effect       string
	Rule         string
	Reason       string
	PolicyDigest string
	Duration     time.Duration // of the policy; recorded in microseconds
	Approval     string
}

// Cache is how the value was had.
type Cache struct {
	State      string // hit | stale | miss | negative; "" where no cache was asked
	Age        time.Duration
	Generation uint64
}

// Result is what the caller got.
type Result struct {
	Status   int    // HTTP status
	Code     string // error code of the API, "" for success
	Bytes    int    // of the value released, 0 for none
	ValueMAC MAC    // of the value released
	Examined int    // list: paths looked at
	Returned int    // list: paths shown
}

// MAC identifies a value without revealing it: HMAC-SHA256 cut to 128 bits. The zero MAC means none.
type MAC [16]byte
