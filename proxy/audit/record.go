// Package audit writes the tamper-evident record of every decision: a closed record, a hash chain per instance with
// signed checkpoints, sinks that acknowledge, and the verifier that finds an edit.
//
// Laws: a record is acknowledged before what it tells of is released; a failed sink fails the request; nothing secret is
// ever in a record.
//
// # The line
//
// A record is one line of JSON with fixed member order and no insignificant space; members and objects that are empty or
// zero are left out. There is exactly one way to write a record, and the verifier refuses any other. "hash", the last
// member, is the SHA-256 (hex) of the bytes of the line before `,"hash":"`. They hold "prev_hash", the hash of the record
// before, so each hash stands for the whole log up to it. "seq" counts the records of an instance from 1 without holes.
//
// # The signature
//
// A hash chain proves nothing against whoever can write it anew. Birth, checkpoint and seal records therefore carry
// "key", the KeyID of the audit key, and "sig", an Ed25519 signature (RFC 8032, hex) over these bytes:
//
//	keyhole audit checkpoint v1\n
//	INSTANCE\n
//	SEQ\n
//	DIGEST\n
//
// SEQ is decimal and DIGEST the SHA-256 (hex) of the bytes of the line before `,"sig":"`. Through prev_hash it covers
// everything before, and the record itself.
//
// # Files
//
// A file that is full, or on which a write failed, is left as it is, and the log goes on in a new one. Its first record, a
// birth, names in "continues" and prev_hash the record that it follows. "rotated" says that the file before is whole and
// ends with that record; without it lines may follow there that a failed write stored, which count for nothing.
// "public_key" is there where the key was made by the process that signs, and nobody else has it.
//
// # Shared places
//
// Standard output, a table or a stream takes the lines of many instances, in no order that counts, and keeps what a failed
// call stored. After a failure the log goes on there as another instance, whose birth names the last record that was
// acknowledged; lines of the old instance after that record count for nothing. VerifyCollected verifies such lines.
//
// # Counted refusals
//
// Of the refusals of one source more than 50 a second are counted. An aggregate record without "pair" is the 51st, whole,
// with count 1; its id is in the answers to those after it, too. The aggregate record with that id as "pair" holds the
// count of those after it, and in its reason how many of each code. It comes within two seconds, or at Close. A process
// that is killed before leaves the first without the second, and Verify names it: how many more were answered is not known.
//
// # What can and cannot be found
//
// Verify finds every edit before the last signature. Records after it can be rewritten, and the end of the log,
// signatures included, can be cut off: that is inherent in a file, and so Verify reports a log without a seal, and how
// many records follow its last signature. Whoever holds the audit key can rewrite everything.
//
// Where the oldest files are gone, everything in those that are left is verified all the same. The first birth record,
// which is signed, says after which record of which instance they begin, and its hash. Whether the files before were
// intact, how many there were, and who removed them cannot be said; only that these continue a log which was verified
// before, if its last position (VerifyOptions.After) is known.
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
	Aggregate  Kind = "aggregate"  // refusals of one source that are counted, see the package comment
)

func (k Kind) valid() bool {
	return k.fromCaller() || signed(k) || k == Torn
}

// fromCaller reports whether Append takes records of kind k.
func (k Kind) fromCaller() bool { return k == Access || k == Intent || k == Outcome || k == Aggregate }

// The actions that are none of package policy. Scopes and policies see a delete and a rollback as write, versions as list,
// a report as read.
const (
	ActionAuthenticate  = "authenticate" // a token that was refused, or none
	ActionDelete        = "delete"
	ActionRollback      = "rollback"
	ActionVersions      = "versions"
	ActionExplain       = "explain" // the decision is what was asked about; nothing was read
	ActionReload        = "reload"  // the rules that decide were replaced: Decision.PolicyDigest says by which
	ActionReport        = "report"  // Decision.Reason says what was reported of Resource.Version: accepted or rejected
	ActionTokenCreate   = "token_create"
	ActionProjectToken  = "project_token_create" // Decision.Reason says which token, and for what
	ActionProjectTokens = "project_tokens"       // a listing of them
	ActionExchange      = "token_exchange"       // Decision.Reason says which token was issued, and for what
	ActionRevocations   = "revocations"          // a listing of them
	ActionLift          = "lift"                 // Decision.Reason says which revocation; that of a revoke says what and why
	ActionKeyRotate     = "key_rotate"           // of the key that signs tokens
	ActionTrustKey      = "trust_add_key"        // of a client: Decision.Reason says which, and for which rule
	ActionBackup        = "vault_backup"         // the vault's file, as it is: encrypted
	ActionRestore       = "vault_restore"
	ActionRekey         = "vault_rekey"
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
	Action    string // an action of package policy, or one of those below
	Resource  Resource
	Decision  Decision
	Cache     Cache
	Result    Result
	Anomaly   []string
	Count     uint64 // Aggregate

	Chain Chain // where the record stands in the log: filled by Decode, ignored by Append
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

// Resource is what was asked for. Path is a prefix for a list, and PREFIX/** for an invalidation of a prefix and what lies
// below it.
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
