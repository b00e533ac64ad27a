package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// TokenRequest asks for an access token signed with the configuration's own key. Whoever can read that key is the
// administrator, so nothing but the key is asked for.
type TokenRequest struct {
	Scope   string // of RFC 6749: ACTION:PATTERN, separated by spaces
	Base    string // "" for none
	Subject string // "" means "local"
	TTL     time.Duration
}

// ErrTokenRequest is wrapped where the request itself is wrong: its scope, its base, its life.
var ErrTokenRequest = errors.New("no such token can be made")

// Issue signs a token. It refuses a life longer than identity.max_ttl.
func Issue(c *config.Config, getenv func(string) string, r TokenRequest) (string, error) {
	if c.Identity.SigningKey.IsZero() {
		return "", errors.New("identity.signing_key is not set: this configuration only verifies tokens")
	}
	scopes, err := policy.ParseScopes(r.Scope)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrTokenRequest, err)
	}
	var base secret.Path
	if r.Base != "" {
		if base, err = secret.ParsePath(r.Base); err != nil {
			return "", fmt.Errorf("%w: base: %w", ErrTokenRequest, err)
		}
	}
	if r.TTL < time.Second || r.TTL > c.Identity.MaxTTL {
		return "", fmt.Errorf("%w: a token lives from 1s to %s (identity.max_ttl), not %s", ErrTokenRequest, c.Identity.MaxTTL, r.TTL)
	}
	text, err := c.Identity.SigningKey.Resolve(c.Dir, getenv)
	if err != nil {
		return "", fmt.Errorf("identity.signing_key: %w", err)
	}
	defer clear(text)
	key, err := identity.ParseSigningKey(text)
	if err != nil {
		return "", fmt.Errorf("identity.signing_key: %w", err)
	}
	defer clear(key)
	s, err := identity.NewSigner(key, c.Identity.Issuer, c.Identity.Audience)
	if err != nil {
		return "", err
	}
	if r.Subject == "" {
		r.Subject = "local"
	}
	now := time.Now().Truncate(time.Second)
	token, err := s.Sign(identity.Claims{
		Subject: r.Subject, ClientID: "keyhole-cli", TokenID: audit.NewID(now), Scopes: scopes, Base: base,
		Trust: "local", OriginIssuer: c.Identity.Issuer, IssuedAt: now, Expires: now.Add(r.TTL),
	})
	if errors.Is(err, identity.ErrClaims) {
		return "", fmt.Errorf("%w: %w", ErrTokenRequest, err)
	}
	return token, err
}

// RecordIssued appends the record of a token to the log at file, which is the command line's own.
func RecordIssued(ctx context.Context, c *config.Config, getenv func(string) string, file, scope, subject string) error {
	log, err := openLog(ctx, c, getenv, file)
	if err != nil {
		return err
	}
	rec := localRecord(c, audit.Access, audit.ActionTokenCreate, scope)
	rec.Principal.Subject, rec.Result.Status = subject, 200
	return errors.Join(log.Append(ctx, rec), log.Close())
}
