// Package identity says who asks: it verifies our own access tokens and the tokens of platforms that trust rules take, turns
// them into principals, and signs access tokens.
//
// Its laws:
//   - A token is read by this package's own strict parser before any library sees it. What two parsers could read in two
//     ways (repeated names, names equal but for case, other base64 spellings, floats for integers) is refused.
//   - Nothing in a token chooses how it is verified: iss picks the issuer by exact look-up, and that issuer's rules fix
//     the algorithm, the typ, the audience and the longest life. The key is the one of that issuer that kid names, never one
//     the token brings or points at.
//   - What was not verified is an Unverified, what was is a Verified, and only this package makes one.
//   - A cached verification spares the signature and the rules, never the checks against the clock. It dies with its key,
//     and with the Verifier, which a change of rules replaces.
//   - No error holds any part of a token or key.
package identity

import (
	"errors"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// Errors of Verify, wrapped. Each means 401: the caller should get another token, then try again.
var (
	// ErrInvalid (401 token_invalid): not a token, not one for here, or one that is not allowed to look as it does.
	ErrInvalid = errors.New("invalid token")
	// ErrExpired (401 token_expired): the token was good, and its time is over.
	ErrExpired = errors.New("token expired")
	// ErrUnknownKey (401 unknown_key): the issuer is trusted, but has no key of this kid here, or not any more. It may
	// appear soon, so a client may also try the same token again later.
	ErrUnknownKey = errors.New("unknown signing key")
)

// Limits of tokens.
const (
	MaxTokenBytes = 8 << 10          // of a whole token
	MaxTTL        = time.Hour        // the longest life that any verifier accepts for an access token
	Leeway        = 30 * time.Second // granted to clocks, for exp, nbf and iat
	MaxParents    = 4                // tokens that one token was narrowed from
)

// Verified is a token that Verify has accepted. It is shared by all requests that carry the token: never change it.
type Verified struct {
	Principal policy.Principal
	IssuedAt  time.Time
	NotBefore time.Time

	// OriginTokenID is the jti of the token that was exchanged for this one, "" where there was none. Revoking that
	// token must refuse this one.
	OriginTokenID string
}
