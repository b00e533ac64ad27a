package identity

import (
	"context"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// issuer is a trusted iss and all that its rules fix.
type issuer struct {
	kind
	algorithms []string
	keys       KeySource
	parser     *jwt.Parser // the signature
}

// kind is what differs between our own tokens and those of platforms.
type kind interface {
	// accept holds an authentic token against the clock and what is allowed for its kind. The window is what is held
	// against the clock at later uses.
	accept(a *authentic, now time.Time) (*Verified, window, error)
}

// authentic is a token that its issuer has signed. Neither its type nor its claims have been looked at.
type authentic struct {
	*Unverified
	key     *key
	library jwt.MapClaims // the claims as the library reads them
}

// newIssuer takes one kind of tokens of one iss.
func newIssuer(algorithms []string, keys KeySource, k kind) *issuer {
	return &issuer{k, algorithms, keys, jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())}
}

// newValidator makes the library repeat most of our own checks of claims, so that a gap must be in both to matter.
func newValidator(iss string, wall func() time.Time, more ...jwt.ParserOption) *jwt.Validator {
	return jwt.NewValidator(append([]jwt.ParserOption{
		jwt.WithTimeFunc(wall), jwt.WithLeeway(Leeway), jwt.WithIssuer(iss), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
	}, more...)...)
}

// errRefused is for what the library refuses and we would not.
var errRefused = invalid("the claims are refused")

var (
	errAlgorithm = invalid("alg is none of this issuer's")
	errNoKeyID   = invalid("the header has no kid")
)

// authenticate checks that the issuer signed the token.
func (i *issuer) authenticate(ctx context.Context, u *Unverified, token string, now time.Time) (*authentic, error) {
	if !slices.Contains(i.algorithms, u.UnsafeAlgorithm) {
		return nil, errAlgorithm
	}
	if u.UnsafeKeyID == "" {
		return nil, errNoKeyID
	}
	k, err := i.key(ctx, u.UnsafeKeyID, now)
	if err != nil {
		return nil, err
	}
	if k.algorithm != u.UnsafeAlgorithm {
		return nil, invalid("the key is for another algorithm")
	}
	claims := jwt.MapClaims{}
	if _, err := i.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return k.public, nil }); err != nil {
		return nil, invalid("the signature is not that of the key named by kid")
	}
	return &authentic{Unverified: u, key: k, library: claims}, nil
}

// key finds the key of this kid, if it may be used now.
func (i *issuer) key(ctx context.Context, kid string, now time.Time) (*key, error) {
	keys, err := i.keys.Keys(ctx, kid)
	if err != nil {
		return nil, unknown(err)
	}
	if k := keys.byID[kid]; k != nil && k.stands(now.Unix()) {
		return k, nil
	}
	return nil, ErrUnknownKey
}
