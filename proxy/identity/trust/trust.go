// Package trust says which identities of other issuers are believed, and what they become: trust rules, and templates of
// rules for the platforms that issue tokens. It is data and comparisons; it neither reads files nor the network, and it
// verifies no signature: package identity does, before it asks here.
//
// Its laws:
//   - A rule takes a token by something that its issuer never gives to another: an immutable id, in full.
//   - Nothing in a token widens what a rule grants. A claim fills a place in a pattern only where it is one segment of a
//     path; any other value refuses the token.
//   - The first rule in file order that takes a token is the one that counts.
//   - Claims that the caller chooses are never looked at.
package trust

import (
	"errors"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Lives of tokens.
const (
	DefaultMaxTTL   = 24 * time.Hour   // the longest where a rule says nothing
	MaxAssertionTTL = 60 * time.Second // the longest of an assertion (RFC 7523)
)

// ErrRefused is wrapped by every error of Admit: no rule takes the token (401 token_invalid). What follows names a rule
// and a claim, never a value: it is for the log.
var ErrRefused = errors.New("no trust rule takes the token")

// Rule says which tokens of one issuer are believed and what they become.
//
// A claim is written as its name, and one inside an object as a JSON pointer (RFC 6901), which starts with "/":
// /kubernetes.io/serviceaccount/uid. A value is compared as it is; "*" stands for one whole segment between colons.
type Rule struct {
	Name     string // unique; not "local", "project", "hook" or "event", which are ours
	Template string // the template that made it, "" for none

	Issuer     string   // exact iss
	JWKSURI    string   // where the issuer's keys are; "" is where discovery says
	JWKS       string   // reference to a bundled key set, as configuration wrote it; "" is none
	CA         string   // reference to another CA for the issuer's HTTPS; "" is none
	Algorithms []string // of EdDSA, RS256, ES256, ES384
	Audiences  []string // accepted aud, exact

	// AllowPrivate lets the issuer's addresses be private or loopback.
	AllowPrivate bool
	// SharedAudience says that an audience is taken which all relying parties of a customer of the platform share, so
	// that any of them could bring the token here. The log should say so.
	SharedAudience bool
	// Assertion makes it a rule for private_key_jwt (RFC 7523): Issuer is the client_id, sub must be the same, and a jti
	// must be there. Such a token is good once, at the token endpoint, never on a read.
	Assertion bool
	// Vouched makes it a rule for callers whom a platform names when it invokes us: Issuer is the name of that platform
	// here, and there is no token, so that nothing is said of keys, algorithms, audiences and lives.
	Vouched bool

	Require map[string][]string // claims that must be there, each with the values it may have
	Forbid  []string            // claims that must not be there
	MaxTTL  time.Duration       // longest life (exp - iat); default DefaultMaxTTL, for assertions MaxAssertionTTL
	Map     Map
}

// Map is what a token becomes. {CLAIM} stands for the value of a claim that the rule requires.
type Map struct {
	Base   string // path that short names are under; may be empty
	Scopes []string
	Labels map[string]string
}

// Token is what an authentic token says: its signature, times and typ have been checked. Life is exp - iat. For a rule that
// is Vouched it is what the platform says, which has an issuer and claims alone.
type Token struct {
	Issuer    string
	Algorithm string
	Claims    *strictjson.Node // the payload, an object
	Life      time.Duration
}

// Grant is what a rule makes of a token.
type Grant struct {
	Rule    *Rule // shared: never change it
	Subject string
	Base    secret.Path
	Scopes  policy.Scopes
	// Claims is what policies may see: string claims of the token, claims that the rule requires, and its labels as
	// labels.NAME. Sorted by name.
	Claims []policy.Pair
}

// Issuer is an issuer that some rule names, and where its keys are.
type Issuer struct {
	Issuer       string
	JWKSURI      string
	JWKS         string
	CA           string
	AllowPrivate bool
	Assertion    bool
	Algorithms   []string // of any of its rules, sorted
}

// Finding is what one rule says of a token.
type Finding struct {
	Rule   *Rule
	Taken  bool
	Check  string // the first check that failed: "iss", "alg", "life", "aud", "sub", "jti", "require CLAIM", "forbid CLAIM", "map"
	Reason string // why, and what to do, for a person who holds the token; "" where taken
}
