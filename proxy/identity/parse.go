package identity

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// Unverified is a token that is well formed, and nothing more: whoever sent it may have written every word of it.
type Unverified struct {
	UnsafeAlgorithm string // alg
	UnsafeType      string // typ, "" where absent
	UnsafeKeyID     string // kid, "" where absent
	UnsafeIssuer    string // iss, "" where absent

	unsafeThumbprint bool             // x5t is present
	unsafeClaims     *strictjson.Node // an object
	signingInput     string
	signature        []byte
}

// Bounds of the two JSON documents of a token. They bound what a sender can make us allocate for 8 KiB.
var (
	headerLimits = strictjson.Limits{Bytes: MaxTokenBytes, Depth: 8, Nodes: 64}
	claimsLimits = strictjson.Limits{Bytes: MaxTokenBytes, Depth: 8, Nodes: 1024}
)

// ParseUnverified reads a compact JWS (RFC 7515 section 3.1) whose payload is a set of claims (RFC 7519), strictly: at
// most MaxTokenBytes of the base64url alphabet and two dots, canonical base64url, UTF-8 JSON objects of depth 8 without
// repeated names, and no header parameter but alg, typ, kid and x5t. Errors wrap ErrInvalid.
func ParseUnverified(token string) (*Unverified, error) {
	header, payload, signature, err := split(token)
	if err != nil {
		return nil, err
	}
	u := &Unverified{signingInput: token[:len(header)+1+len(payload)]}
	if u.signature, err = decodeBase64(signature); err != nil {
		return nil, invalid("the signature is not canonical base64url")
	}
	if err := u.readHeader(header); err != nil {
		return nil, err
	}
	text, err := decodeBase64(payload)
	if err != nil {
		return nil, invalid("the claims are not canonical base64url")
	}
	claims, err := strictjson.Parse(text, claimsLimits)
	if err != nil {
		return nil, fmt.Errorf("%w: claims: %w", ErrInvalid, err)
	}
	if claims.Kind != strictjson.Object {
		return nil, invalid("the claims are not a JSON object")
	}
	u.unsafeClaims = claims
	if iss := claims.Get("iss"); iss != nil {
		var ok bool
		if u.UnsafeIssuer, ok = iss.Str(); !ok {
			return nil, invalid("iss is not a string")
		}
	}
	return u, nil
}

// split cuts a token at its two dots, after a look at its size and its bytes.
func split(token string) (header, payload, signature string, err error) {
	if len(token) > MaxTokenBytes {
		return "", "", "", invalid("the token is larger than 8 KiB")
	}
	dots := 0
	for i := range len(token) {
		switch c := token[i]; {
		case c == '.':
			dots++
		case !base64Byte(c):
			return "", "", "", invalid("the token holds a byte outside base64url and dots")
		}
	}
	if dots != 2 {
		return "", "", "", invalid("a token has three parts with a dot between")
	}
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, _ = strings.Cut(rest, ".")
	return header, payload, signature, nil
}

func (u *Unverified) readHeader(segment string) error {
	text, err := decodeBase64(segment)
	if err != nil {
		return invalid("the header is not canonical base64url")
	}
	header, err := strictjson.Parse(text, headerLimits)
	if err != nil {
		return fmt.Errorf("%w: header: %w", ErrInvalid, err)
	}
	if header.Kind != strictjson.Object {
		return invalid("the header is not a JSON object")
	}
	for i := range header.Members {
		m := &header.Members[i]
		value, ok := m.Value.Str()
		switch m.Name {
		case "alg":
			u.UnsafeAlgorithm = value
		case "typ":
			u.UnsafeType = value
		case "kid":
			u.UnsafeKeyID = value
		case "x5t":
			u.unsafeThumbprint = true
		case "crit":
			return invalid("crit asks for extensions, and none is known here")
		case "jku", "jwk", "x5u", "x5c":
			return invalid("the header brings or names a key of its own")
		default:
			return invalid("the header has a parameter other than alg, typ, kid and x5t")
		}
		if !ok || value == "" {
			return invalid("a header parameter is not a string, or is empty")
		}
	}
	if u.UnsafeAlgorithm == "" {
		return invalid("the header has no alg")
	}
	return nil
}

// strictBase64 is base64url without padding that also refuses trailing bits. It skips CR and LF wherever they stand:
// decodeBase64 does not.
var strictBase64 = base64.RawURLEncoding.Strict()

// decodeBase64 accepts exactly one spelling of every byte string (RFC 7515 section 2).
func decodeBase64(s string) ([]byte, error) {
	for i := range len(s) {
		if !base64Byte(s[i]) {
			return nil, base64.CorruptInputError(i)
		}
	}
	return strictBase64.DecodeString(s)
}

func base64Byte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// invalid is an ErrInvalid for a reason.
func invalid(reason string) error { return invalidError(reason) }

// invalidError is put into words when somebody reads it: some are made before main.
type invalidError string

func (e invalidError) Error() string { return ErrInvalid.Error() + ": " + string(e) }

func (invalidError) Unwrap() error { return ErrInvalid }
