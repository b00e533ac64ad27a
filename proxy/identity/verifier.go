package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// accessTokenType is the typ of access tokens (RFC 9068 section 2.1), to be matched exactly: no other token that the
// same key may sign can pass for one.
const accessTokenType = "at+jwt"

// Config is what a Verifier needs.
type Config struct {
	Issuer   string           // iss of our access tokens; required, at most 512 bytes
	Audience string           // the one aud of tokens meant for us; required, at most 512 bytes
	Keys     *KeySet          // Ed25519 keys under their thumbprints; required, may be empty
	MaxTTL   time.Duration    // longest life (exp - iat); default and maximum MaxTTL
	Wall     func() time.Time // default time.Now; only its wall clock counts, which also runs while we are frozen
	// CacheEntries bounds the remembered verifications; default 4096, at least 32. An entry takes about 1 KiB, and less
	// than 32 KiB even for the largest token.
	CacheEntries int
}

// Verifier verifies tokens. It is safe for concurrent use and holds no goroutine.
type Verifier struct {
	issuers map[string]*issuer
	own     *issuer
	wall    func() time.Time
	cache   *verifications
}

// issuer is a trusted iss and all that its rule fixes.
type issuer struct {
	audience  string
	algorithm string
	maxTTL    time.Duration
	parser    *jwt.Parser    // the signature
	validator *jwt.Validator // the claims, a second time
	keys      atomic.Pointer[KeySet]
}

// New checks the configuration. It reads nothing from the network.
func New(c Config) (*Verifier, error) {
	if !goodText(c.Issuer, maxNameBytes) || !goodText(c.Audience, maxNameBytes) {
		return nil, errors.New("issuer and audience are required, of at most 512 bytes")
	}
	maxTTL, err := lifeOf(c.MaxTTL)
	if err != nil {
		return nil, err
	}
	if c.CacheEntries < 0 {
		return nil, fmt.Errorf("cache entries %d: want 0 for the default, or more", c.CacheEntries)
	}
	if c.CacheEntries == 0 {
		c.CacheEntries = 4096
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	own := newIssuer(c.Issuer, c.Audience, EdDSA, maxTTL, c.Wall)
	v := &Verifier{
		issuers: map[string]*issuer{c.Issuer: own}, own: own, wall: c.Wall, cache: newVerifications(c.CacheEntries),
	}
	if err := v.SetKeys(c.Keys); err != nil {
		return nil, err
	}
	return v, nil
}

func newIssuer(iss, aud, alg string, maxTTL time.Duration, wall func() time.Time) *issuer {
	// The library repeats most of our own checks, so that a gap must be in both to matter.
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{alg}), jwt.WithStrictDecoding(), jwt.WithTimeFunc(wall), jwt.WithLeeway(Leeway),
		jwt.WithIssuer(iss), jwt.WithAudience(aud), jwt.WithExpirationRequired(), jwt.WithNotBeforeRequired(), jwt.WithIssuedAt(),
	}
	return &issuer{
		audience: aud, algorithm: alg, maxTTL: maxTTL, validator: jwt.NewValidator(options...),
		parser: jwt.NewParser(append(options, jwt.WithoutClaimsValidation())...),
	}
}

// SetKeys replaces the keys of our access tokens at once: remembered verifications by a key that is no longer there end
// with it. On error the old keys stay.
func (v *Verifier) SetKeys(keys *KeySet) error {
	if err := keys.checkOwn(); err != nil {
		return err
	}
	v.own.keys.Store(keys)
	return nil
}

// LongestLife is how long a token can be valid that is taken here.
func (v *Verifier) LongestLife() time.Duration { return v.own.maxTTL }

// Verify says whose token this is. Errors wrap ErrInvalid, ErrExpired or ErrUnknownKey and are safe to log. Revocation is
// for the caller to check, at every use. ctx is for issuers whose keys have to be fetched; none of today's needs it.
func (v *Verifier) Verify(_ context.Context, token string) (*Verified, error) {
	if len(token) > MaxTokenBytes {
		return nil, invalid("the token is larger than 8 KiB")
	}
	now := v.wall()
	// The digest of the whole token is the key: neither an equal signature nor the time a look-up takes tells anything
	// about another token.
	digest := digestOf(token)
	if e := v.cache.get(digest, now); e != nil {
		if err := e.window.check(now); err != nil {
			return nil, err
		}
		return e.verified, nil
	}
	return v.verify(token, digest, now)
}

func (v *Verifier) verify(token string, digest [sha256.Size]byte, now time.Time) (*Verified, error) {
	if len(token) > 3 && token[:3] == "kh_" {
		return nil, invalid("project tokens are not taken here")
	}
	u, err := ParseUnverified(token)
	if err != nil {
		return nil, err
	}
	iss := v.issuers[u.UnsafeIssuer]
	if iss == nil {
		return nil, invalid("no trusted issuer has this iss")
	}
	k, library, err := iss.authenticate(u, token, now)
	if err != nil {
		return nil, err
	}
	c, err := iss.checkClaims(u, library, now)
	if err != nil {
		return nil, err
	}
	ver := &Verified{
		Principal: policy.Principal{
			Trust: c.Trust, Issuer: c.OriginIssuer, Subject: c.Subject, ClientID: c.ClientID, TokenID: c.TokenID,
			KeyID: k.id, Parents: c.Parents, Cnf: c.Cnf, AuthenticatedBy: "access_token", Base: c.Base,
			Scopes: c.Scopes, Expires: c.Expires,
		},
		IssuedAt: c.IssuedAt, NotBefore: c.NotBefore, OriginTokenID: c.OriginTokenID,
	}
	v.cache.put(digest, &verification{verified: ver, window: c.window(), issuer: iss, key: k, at: now.Unix()})
	return ver, nil
}

// digestOf hashes a token without the heap, unless it is unusually large.
func digestOf(token string) [sha256.Size]byte {
	var buf [2048]byte
	return sha256.Sum256(append(buf[:0], token...))
}
