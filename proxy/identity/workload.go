package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// WorkloadTrust is the trust rule of a workload beside us, as records and revocations name it.
const WorkloadTrust = "function"

// Workload is a program that shares its surroundings with us and no other: it shows that it is this program by a token that
// was put into the environment of both, such as the session token of a Lambda function's role. Nobody signed it for us, so
// that it proves nothing anywhere else.
type Workload struct {
	Token   string        // 1 to 8192 bytes; how hard it is to guess is the affair of who made it
	Subject string        // name of the program; at most 512 bytes
	Scopes  policy.Scopes // what it may ask for; at least one
}

// BySessionToken is how a Workload is authenticated, as policies and records are told.
const BySessionToken = "session_token"

// workload is what is kept of a Workload: of its token the digest alone.
type workload struct {
	digest   [sha256.Size]byte
	verified *Verified
}

func newWorkload(w *Workload, now time.Time) (*workload, error) {
	switch {
	case w.Token == "" || len(w.Token) > MaxTokenBytes:
		return nil, errors.New("the token of a workload has 1 to 8192 bytes")
	case !goodText(w.Subject, maxNameBytes):
		return nil, errors.New("the name of a workload is empty, longer than 512 bytes or not plain text")
	case len(w.Scopes) == 0:
		return nil, errors.New("the workload has no scopes")
	}
	digest := digestOf(w.Token)
	return &workload{digest, &Verified{
		Principal: policy.Principal{
			Trust: WorkloadTrust, Issuer: WorkloadTrust, Subject: w.Subject, TokenID: digestID(digest),
			AuthenticatedBy: BySessionToken, Scopes: w.Scopes,
		},
		IssuedAt: now, NotBefore: now,
	}}, nil
}

// is reports whether a token of this digest is that of the workload. nil is nobody.
func (w *workload) is(digest [sha256.Size]byte) bool {
	return w != nil && subtle.ConstantTimeCompare(w.digest[:], digest[:]) == 1
}
