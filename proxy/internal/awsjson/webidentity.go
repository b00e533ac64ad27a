package awsjson

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// WebIdentity gets tokens in which AWS says to others who its caller is (AWS STS API Reference, GetWebIdentityToken). The
// account must have outbound web identity federation enabled. They live for five minutes, as is the default: longer ones are
// refused near the end of a role's session. It keeps none.
type WebIdentity struct {
	sts
	audience, algorithm string
}

// Algorithms that AWS signs such tokens with.
const (
	ES384 = "ES384"
	RS256 = "RS256"
)

// maxToken bounds a token, as those who take it do.
const maxToken = 8 << 10

// NewWebIdentity returns a WebIdentity for one audience, which is printable ASCII. It calls the endpoint of the region,
// since the global one has no such call. Config.Service and Config.Endpoint play no part.
func NewWebIdentity(c Config, audience, algorithm string) (*WebIdentity, error) {
	switch {
	case audience == "" || len(audience) > 1000 || strings.ContainsFunc(audience, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("aws: the audience of a web identity is 1 to 1000 bytes of printable ASCII")
	case algorithm != ES384 && algorithm != RS256:
		return nil, errors.New("aws: web identities are signed with ES384 or RS256")
	}
	to, k, err := c.open()
	if err != nil {
		return nil, err
	}
	return &WebIdentity{c.sts(to, k), audience, algorithm}, nil
}

// Token gets a token and its end. Errors are ErrLogin, which may wrap that of ctx, ErrClock or ErrClosed.
func (w *WebIdentity) Token(ctx context.Context) (secret.Value, time.Time, error) {
	form := url.Values{
		"Action": {"GetWebIdentityToken"}, "Audience.member.1": {w.audience}, "SigningAlgorithm": {w.algorithm},
		"DurationSeconds": {"300"}, // said, so that conditions of IAM policies see it
	}
	var r struct {
		Result struct {
			WebIdentityToken string
			Expiration       time.Time
		} `xml:"GetWebIdentityTokenResult"`
	}
	const doing = "asking for a web identity"
	const denied = "they may not ask for a web identity; allow sts:GetWebIdentityToken"
	if err := w.call(ctx, form, &r, doing, denied); err != nil {
		return secret.Value{}, time.Time{}, err
	}
	if t := r.Result; t.WebIdentityToken == "" || len(t.WebIdentityToken) > maxToken || t.Expiration.IsZero() {
		return secret.Value{}, time.Time{}, fmt.Errorf("%w: %s: %w", ErrLogin, doing, ErrMalformed)
	}
	return secret.NewValue([]byte(r.Result.WebIdentityToken)), r.Result.Expiration, nil
}

// Close ends the calls that are under way and releases the connections. Later calls fail with ErrClosed.
func (w *WebIdentity) Close() error {
	w.wire.Close()
	return nil
}
