package api

// RevocationKind says what of a request a revocation looks at.
type RevocationKind string

// The kinds of revocations. The last one names secrets by a pattern; the others are compared whole.
const (
	RevokeTokenID RevocationKind = "token_id" // a token, and those that were made from it
	RevokeSubject RevocationKind = "subject"  // a principal, whatever the issuer
	RevokeTrust   RevocationKind = "trust"    // all that a trust rule admits
	RevokeKeyID   RevocationKind = "key_id"   // all that a key has signed
	RevokeSecret  RevocationKind = "secret"   // secrets, whoever asks
)

// RevocationKinds are all of them.
func RevocationKinds() []RevocationKind {
	return []RevocationKind{RevokeTokenID, RevokeSubject, RevokeTrust, RevokeKeyID, RevokeSecret}
}

// Revocation is what may no longer be used: one of token_id, subject, trust, key_id and secret names it.
type Revocation struct {
	ID         string `json:"id"`
	TokenID    string `json:"token_id,omitempty"`
	Subject    string `json:"subject,omitempty"`
	Trust      string `json:"trust,omitempty"`
	KeyID      string `json:"key_id,omitempty"`
	Secret     string `json:"secret,omitempty"` // a pattern
	Reason     string `json:"reason"`
	By         string `json:"by"`              // subject of who revoked
	CreatedAt  string `json:"created_at"`      // RFC 3339, UTC
	Until      string `json:"until,omitempty"` // RFC 3339, UTC; absent: until it is lifted
	Generation uint64 `json:"generation,omitempty"`
}

// RevocationAnswer answers POST /v1/revocations and DELETE /v1/revocations/{id}, with the generation of the node that
// answers, after the change.
type RevocationAnswer struct {
	Data Revocation `json:"data"`
}

// Revocations answers GET /v1/revocations: what holds now, in the order of the ids.
type Revocations struct {
	Data     []Revocation `json:"data"`
	NextPage string       `json:"next_page,omitempty"`
}
