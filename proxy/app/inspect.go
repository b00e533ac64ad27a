package app

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// TokenInfo is what a token says of itself. Nothing of it is verified.
type TokenInfo struct {
	Issuer    string `json:"iss"`
	Subject   string `json:"sub"`
	Audience  string `json:"aud"`
	TokenID   string `json:"jti"`
	KeyID     string `json:"kid"`
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	Trust     string `json:"trust,omitempty"`

	Environment string `json:"environment,omitempty"` // of a project token, which says nothing else

	Base      string `json:"base,omitempty"`
	Scope     string `json:"scope"`
	IssuedAt  string `json:"issued_at,omitempty"`  // RFC 3339, UTC
	ExpiresAt string `json:"expires_at,omitempty"` // RFC 3339, UTC
	Expired   bool   `json:"expired"`
}

// InspectToken reads a token for people to look at. Of a project token it tells by the checksum whether it is one, and the
// id under which it can be revoked.
func InspectToken(token string) (TokenInfo, error) {
	if identity.IsProjectToken(token) {
		digest, err := identity.ProjectTokenDigest(token)
		if err != nil {
			return TokenInfo{}, err
		}
		environment, _, _ := strings.Cut(strings.TrimPrefix(token, "kh_"), "_")
		return TokenInfo{
			Trust: identity.ProjectTrust, Environment: environment, TokenID: (&identity.ProjectToken{Digest: digest}).ID(),
		}, nil
	}
	u, err := identity.ParseUnverified(token)
	if err != nil {
		return TokenInfo{}, err
	}
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return TokenInfo{}, errors.New("the payload is not base64url")
	}
	claims, err := strictjson.Parse(payload, strictjson.Limits{Bytes: identity.MaxTokenBytes, Depth: 8})
	if err != nil {
		return TokenInfo{}, err
	}
	text := func(n *strictjson.Node) string { s, _ := n.Str(); return s }
	info := TokenInfo{
		Issuer: u.UnsafeIssuer, KeyID: u.UnsafeKeyID, Algorithm: u.UnsafeAlgorithm, Type: u.UnsafeType,
		Subject: text(claims.Get("sub")), Audience: text(claims.Get("aud")), TokenID: text(claims.Get("jti")),
		Base: text(claims.Get("base")), Scope: text(claims.Get("scope")),
	}
	if kh := claims.Get("kh"); kh != nil {
		info.Trust = text(kh.Get("trust"))
	}
	if iat, ok := claims.Get("iat").Int64(); ok {
		info.IssuedAt = time.Unix(iat, 0).UTC().Format(time.RFC3339)
	}
	if exp, ok := claims.Get("exp").Int64(); ok {
		info.ExpiresAt = time.Unix(exp, 0).UTC().Format(time.RFC3339)
		info.Expired = !time.Unix(exp, 0).After(time.Now())
	}
	return info, nil
}
