// Package policy is the vocabulary of decisions: who asks (Principal), for what (Request), and what was decided
// (Decision). It decides nothing itself; package wasm does. It imports the standard library and package secret only.
package policy

import (
	"errors"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Action is what a request wants to do with a path.
type Action string

// The closed set of actions; scopes name them too.
const (
	Read       Action = "read"
	List       Action = "list"
	WriteTo    Action = "write"
	Invalidate Action = "invalidate"
	Revoke     Action = "revoke"
	Approve    Action = "approve"
)

// Valid reports whether a is one of the actions above.
func (a Action) Valid() bool {
	switch a {
	case Read, List, WriteTo, Invalidate, Revoke, Approve:
		return true
	}
	return false
}

// Principal is a verified caller. Only package identity makes one, and only from a token it has verified.
type Principal struct {
	Trust           string      // the trust rule that took the token; "local" for tokens signed with our own key by the CLI
	Issuer          string      // iss of the identity behind the token
	Subject         string      // sub
	ClientID        string      // client_id, for access tokens
	TokenID         string      // jti, or sha256: and 32 hex digits of the token's digest
	KeyID           string      // kid that signed the token
	Parents         []string    // jti of the tokens this one was narrowed from; revoking one revokes it
	Cnf             string      // confirmation key thumbprint (RFC 7800), if any
	AuthenticatedBy string      // how the token was verified: "access_token" | "oidc" | "project_token" | "private_key_jwt" | "aws_iam" | "session_token"
	Base            secret.Path // what short names are resolved against; may be zero
	Scopes          Scopes
	Claims          []Pair // string claims of the identity, sorted by name
	Expires         time.Time
}

// Pair is a name and a value; slices of pairs are sorted by name and hold each name once.
type Pair struct{ Name, Value string }

// Lookup finds name in sorted pairs.
func Lookup(pairs []Pair, name string) (string, bool) {
	for i := range pairs {
		if pairs[i].Name == name {
			return pairs[i].Value, true
		}
	}
	return "", false
}

// Request is everything a policy may see. It holds nothing that depends on whether the secret exists.
type Request struct {
	Action    Action
	Path      secret.Path
	Mount     string         // name of the mount, "" where none covers the path
	Version   secret.Version // as asked: "" for the current one
	Labels    []Pair         // from configuration, never from the upstream
	Principal *Principal
	Context   Context
}

// Context is the circumstances of a request.
type Context struct {
	Time       time.Time // UTC; policies see milliseconds
	Region     string
	SourceIP   string // textual address without zone or port
	Surface    string // "native", "cli", "vault", "aws", "lambda"
	UserAgent  string // at most 128 bytes
	Deployment string
	Anomaly    int
}

// Effect is the outcome of a policy or of a chain.
type Effect uint8

// Effects, with the numbers of the native policy ABI. The zero Effect is Deny.
const (
	Deny            Effect = 0
	Allow           Effect = 1
	Abstain         Effect = 2
	RequireApproval Effect = 3
)

// String gives the word that records and answers use.
func (e Effect) String() string {
	switch e {
	case Allow:
		return "allow"
	case Abstain:
		return "abstain"
	case RequireApproval:
		return "require_approval"
	default:
		return "deny"
	}
}

// Obligations is what a require_approval decision asks for.
type Obligations struct {
	Approvers []string
	N         int
	MaxTTL    time.Duration
}

// ErrUnavailable is wrapped by a Decision's Fault where no policy decided: the chain was busy or is being replaced. The
// answer is no, and asking again may help.
var ErrUnavailable = errors.New("policy unavailable")

// Decision is the answer of a policy chain. The zero Decision denies.
type Decision struct {
	Effect      Effect
	Rule        string // NAME/RULE of the deciding policy; NAME/error where it failed
	Reason      string // for the record and the caller; at most 256 bytes, printable
	Digest      string // policy_digest: "sha256:" and 64 hex digits
	Obligations Obligations
	Fault       error // why a policy failed (trap, fuel, bad output): for the log only; the effect is Deny
}
