package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// Config is what a Verifier needs: Keys, Trust, Workload or several of them.
type Config struct {
	Issuer   string           // iss of our access tokens; required with Keys, at most 512 bytes
	Audience string           // the one aud of access tokens meant for us; required with Keys, at most 512 bytes
	Keys     *KeySet          // Ed25519 keys under their thumbprints, may be empty; nil takes no access tokens
	MaxTTL   time.Duration    // longest life (exp - iat) of an access token; default and maximum MaxTTL
	Wall     func() time.Time // default time.Now; only its wall clock counts, which also runs while we are frozen

	Trust   *trust.Set           // which tokens of other issuers are taken; nil takes none
	Sources map[string]KeySource // the keys of each issuer that Trust names, by iss

	Workload *Workload // the program beside us; nil where there is none

	// CacheEntries bounds the remembered verifications; default 4096, at least 32. An entry takes about 1 KiB, and less
	// than 32 KiB even for the largest token.
	CacheEntries int
}

// Verifier verifies tokens. It is safe for concurrent use and holds no goroutine.
type Verifier struct {
	issuers map[string]*issuer
	own     *heldKeys // of access tokens; nil where none are taken
	rules   *trust.Set
	beside  *workload // nil where there is none
	wall    func() time.Time
	cache   *verifications
}

// New checks the configuration. It reads nothing from the network.
func New(c Config) (*Verifier, error) {
	if c.CacheEntries < 0 {
		return nil, fmt.Errorf("cache entries %d: want 0 for the default, or more", c.CacheEntries)
	}
	if c.CacheEntries == 0 {
		c.CacheEntries = 4096
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	v := &Verifier{issuers: map[string]*issuer{}, rules: c.Trust, wall: c.Wall, cache: newVerifications(c.CacheEntries)}
	if c.Keys == nil && (c.Trust == nil || c.Trust.Len() == 0) && c.Workload == nil {
		return nil, errors.New("neither keys of access tokens nor trust rules: no token could be verified")
	}
	if c.Workload != nil {
		var err error
		if v.beside, err = newWorkload(c.Workload, v.wall()); err != nil {
			return nil, err
		}
		for i := 0; c.Trust != nil && i < c.Trust.Len(); i++ {
			if c.Trust.Rule(i).Name == WorkloadTrust {
				return nil, errors.New("trust: \"" + WorkloadTrust + "\" is the name of the program beside us; choose another for the rule")
			}
		}
	}
	if c.Keys != nil {
		if err := v.addOwn(&c); err != nil {
			return nil, err
		}
	}
	if c.Trust != nil {
		for _, i := range c.Trust.Issuers() {
			if err := v.addPlatform(&c, i); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func (v *Verifier) addOwn(c *Config) error {
	if !goodText(c.Issuer, maxNameBytes) || !goodText(c.Audience, maxNameBytes) {
		return errors.New("issuer and audience are required, of at most 512 bytes")
	}
	maxTTL, err := lifeOf(c.MaxTTL)
	if err != nil {
		return err
	}
	v.own = &heldKeys{}
	v.issuers[c.Issuer] = newIssuer([]string{EdDSA}, v.own, newAccessTokens(c.Issuer, c.Audience, maxTTL, c.Wall))
	return v.SetKeys(c.Keys)
}

// addPlatform takes the tokens of an issuer that trust rules name. Our own iss is none of them, whether or not access
// tokens are taken here: a rule would then say what they may do.
func (v *Verifier) addPlatform(c *Config, i trust.Issuer) error {
	keys := c.Sources[i.Issuer]
	switch {
	case !goodText(i.Issuer, maxNameBytes):
		return errors.New("the issuer of a trust rule is empty, longer than 512 bytes or not plain text")
	case i.Issuer == c.Issuer:
		return fmt.Errorf("issuer %s is our own: no trust rule can be for its tokens", i.Issuer)
	case keys == nil:
		return fmt.Errorf("issuer %s has no source of keys", i.Issuer)
	}
	for _, alg := range i.Algorithms {
		if !slices.Contains(algorithms(), alg) {
			return fmt.Errorf("issuer %s: algorithm %q is none of %s", i.Issuer, alg, strings.Join(algorithms(), ", "))
		}
	}
	v.issuers[i.Issuer] = newIssuer(i.Algorithms, keys, newPlatformTokens(i, c.Trust, c.Wall))
	return nil
}

// SetKeys replaces the keys of our access tokens at once: remembered verifications by a key that is no longer there end
// with it. On error the old keys stay.
func (v *Verifier) SetKeys(keys *KeySet) error {
	if err := keys.checkOwn(); err != nil {
		return err
	}
	if v.own == nil {
		return badKeys("no access tokens are taken here")
	}
	v.own.set.Store(keys)
	return nil
}

// LongestLife is how long a token can be valid that is taken here, but for one that is Endless.
func (v *Verifier) LongestLife() time.Duration {
	longest := MaxTTL
	if v.rules != nil {
		for i := range v.rules.Len() {
			longest = max(longest, v.rules.Rule(i).MaxTTL)
		}
	}
	return longest
}

// Endless reports whether this is the id of a token that is taken for as long as the process lasts, which LongestLife says
// nothing about: that of the program beside us.
func (v *Verifier) Endless(tokenID string) bool {
	return v.beside != nil && v.beside.verified.Principal.TokenID == tokenID
}

// Verify says whose token this is. Errors wrap ErrInvalid, ErrExpired or ErrUnknownKey and are safe to log. Revocation is
// for the caller to check, at every use. ctx bounds how long the keys of another issuer may be waited for.
func (v *Verifier) Verify(ctx context.Context, token string) (*Verified, error) {
	if len(token) > MaxTokenBytes {
		return nil, invalid("the token is larger than 8 KiB")
	}
	now := v.wall()
	// The digest of the whole token is the key: neither an equal signature nor the time a look-up takes tells anything
	// about another token.
	digest := digestOf(token)
	if v.beside.is(digest) {
		return v.beside.verified, nil
	}
	if e := v.cache.get(digest, now); e != nil {
		if !e.stands(ctx, now) {
			v.cache.drop(digest)
			return v.verify(ctx, token, digest, now)
		}
		if err := e.window.check(now); err != nil {
			return nil, err
		}
		return e.verified, nil
	}
	return v.verify(ctx, token, digest, now)
}

// Knows reports whether this token verified before and is remembered for it, so that Verify is likely to take it and cheap
// where it does not. It says nothing about whether the token is good now.
func (v *Verifier) Knows(token string) bool {
	if len(token) > MaxTokenBytes {
		return false
	}
	digest := digestOf(token)
	return v.beside.is(digest) || v.cache.holds(digest)
}

// HasKey reports whether the key that the token names is at hand, of the issuer that it names. Whoever sent it may have
// written both: it says that Verify has nobody to ask about it, and nothing else.
func (v *Verifier) HasKey(token string) bool {
	if len(token) > MaxTokenBytes {
		return false
	}
	u, err := v.parse(token)
	if err != nil {
		return false
	}
	iss := v.issuers[u.UnsafeIssuer]
	return iss != nil && iss.keys.Has(u.UnsafeKeyID)
}

func (v *Verifier) verify(ctx context.Context, token string, digest [sha256.Size]byte, now time.Time) (*Verified, error) {
	u, err := v.parse(token)
	if err != nil {
		return nil, err
	}
	iss := v.issuers[u.UnsafeIssuer]
	if iss == nil {
		return nil, errNoIssuer
	}
	a, err := iss.authenticate(ctx, u, token, now)
	if err != nil {
		return nil, err
	}
	ver, w, err := iss.accept(a, now)
	if err != nil {
		return nil, err
	}
	v.cache.put(digest, &verification{verified: ver, window: w, issuer: iss, key: a.key, at: now.Unix()})
	return ver, nil
}

var errNoIssuer = invalid("no trusted issuer has this iss")

// parse reads a token of any kind.
func (v *Verifier) parse(token string) (*Unverified, error) {
	if strings.HasPrefix(token, "kh_") {
		return nil, invalid("project tokens are not taken here")
	}
	return ParseUnverified(token)
}

// digestOf hashes a token without the heap, unless it is unusually large.
func digestOf(token string) [sha256.Size]byte {
	var buf [2048]byte
	return sha256.Sum256(append(buf[:0], token...))
}
