package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// ProjectTokenPattern finds project tokens in texts (RE2 syntax). What it finds is one only if its checksum is right, which
// CheckProjectToken says without asking anybody. It wants a token to stand apart from other letters and digits: escapes such
// as those of "%20kh_…" have to be undone before.
const ProjectTokenPattern = `\bkh_[a-z0-9][a-z0-9-]{0,31}_[0-9A-Za-z]{36}\b`

// ProjectTrust is the trust rule of project tokens, as records and revocations name it.
const ProjectTrust = "project"

const (
	projectPrefix = "kh_"
	base62        = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	randomChars   = 30 // of base62: 178 bits
	checkChars    = 6  // of base62: 32 bits

	maxEnvironment = 32
)

// ErrEnvironment: the name of an environment cannot stand in a project token.
var ErrEnvironment = errors.New("an environment is 1 to 32 characters of a-z, 0-9 and -, and does not begin with -")

// ProjectToken is what a project token permits: everything but the token itself, of which only the digest is kept.
type ProjectToken struct {
	Digest      [sha256.Size]byte // of the token
	Environment string
	Subject     string
	Scopes      policy.Scopes
	Base        secret.Path // may be zero
	Created     time.Time
	Expires     time.Time
	CreatedBy   string // subject of who made it
}

// IsEnvironment reports whether a project token can be made for it.
func IsEnvironment(name string) bool {
	if name == "" || len(name) > maxEnvironment || name[0] == '-' {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// IsProjectToken reports whether a token says that it is one. It may be malformed.
func IsProjectToken(token string) bool { return strings.HasPrefix(token, projectPrefix) }

// NewProjectToken makes a token for an environment: kh_ENVIRONMENT_, 30 random characters, and a checksum of 6, so that
// scanners tell it from what only looks like one.
func NewProjectToken(environment string) (string, error) {
	if !IsEnvironment(environment) {
		return "", ErrEnvironment
	}
	var b strings.Builder
	b.WriteString(projectPrefix + environment + "_")
	buf := make([]byte, 2*randomChars)
	defer clear(buf)
	for n := 0; n < randomChars; {
		if _, err := rand.Read(buf); err != nil {
			return "", err
		}
		for _, c := range buf {
			// 248 is the last multiple of 62 in a byte: beyond it some characters would be likelier than others.
			if c < 248 && n < randomChars {
				b.WriteByte(base62[c%62])
				n++
			}
		}
	}
	return b.String() + checksum(b.String()), nil
}

// checksum is the CRC-32 (IEEE) of s in base 62, the most significant digit first.
func checksum(s string) string {
	var out [checkChars]byte
	sum := crc32.ChecksumIEEE([]byte(s))
	for i := checkChars - 1; i >= 0; i-- {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}

// CheckProjectToken reports whether the token is well formed, by itself: its shape and its checksum.
func CheckProjectToken(token string) bool {
	if !shapedAsProjectToken(token) {
		return false
	}
	at := len(token) - checkChars
	return subtle.ConstantTimeCompare([]byte(checksum(token[:at])), []byte(token[at:])) == 1
}

// shapedAsProjectToken reports whether ProjectTokenPattern describes the whole text. It is written out because a function
// would link the package regexp, and compile expressions at its start, for this alone.
func shapedAsProjectToken(token string) bool {
	rest, prefixed := strings.CutPrefix(token, projectPrefix)
	environment, random, separated := strings.Cut(rest, "_")
	if !prefixed || !separated || !IsEnvironment(environment) || len(random) != randomChars+checkChars {
		return false
	}
	for i := range len(random) {
		if strings.IndexByte(base62, random[i]) < 0 {
			return false
		}
	}
	return true
}

// ProjectTokenDigest is under what a project token is looked up. Errors wrap ErrInvalid: it is not well formed.
func ProjectTokenDigest(token string) ([sha256.Size]byte, error) {
	if !CheckProjectToken(token) {
		return [sha256.Size]byte{}, invalid("not a project token: its shape or its checksum is wrong, so it was mistyped or cut")
	}
	return digestOf(token), nil
}

// ID is the token_id: the token has no jti.
func (p *ProjectToken) ID() string { return digestID(p.Digest) }

// digestID is the token_id of a token without jti.
func digestID(digest [sha256.Size]byte) string { return "sha256:" + hex.EncodeToString(digest[:16]) }

// Verify says whose token this is, if it is the one that p tells of and its time is not over. Errors are those of
// Verifier.Verify.
func (p *ProjectToken) Verify(token string, now time.Time) (*Verified, error) {
	digest, err := ProjectTokenDigest(token)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(digest[:], p.Digest[:]) != 1 {
		return nil, ErrUnknownProjectToken
	}
	if !now.Before(p.Expires) {
		return nil, fmt.Errorf("%w: it is a project token", ErrExpired)
	}
	return &Verified{
		Principal: policy.Principal{
			Trust: ProjectTrust, Issuer: ProjectTrust, Subject: p.Subject, TokenID: p.ID(), AuthenticatedBy: "project_token",
			Base: p.Base, Scopes: p.Scopes, Expires: p.Expires,
			Claims: []policy.Pair{{Name: "environment", Value: p.Environment}},
		},
		IssuedAt: p.Created, NotBefore: p.Created,
	}, nil
}

// ErrUnknownProjectToken wraps ErrInvalid: it is well formed, and none that is known here.
var ErrUnknownProjectToken = invalid("no project token that is known here")
