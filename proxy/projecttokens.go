package proxy

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// projectTokens are the tokens that the facts tell of. It never changes: applying a fact makes another one.
type projectTokens struct {
	byDigest map[[sha256.Size]byte]*identity.ProjectToken
	digests  map[string][sha256.Size]byte // by fact
	uses     map[string]use               // by token_id
}

// use is the last use of a token that the log holds.
type use struct {
	fact string
	at   time.Time
}

// wireProjectToken is the payload of a fact. The token itself is in none.
type wireProjectToken struct {
	Digest      []byte `json:"digest"`
	Environment string `json:"environment"`
	Subject     string `json:"subject"`
	Scope       string `json:"scope"`
	Base        string `json:"base,omitempty"`
	CreatedBy   string `json:"created_by"`
}

// with returns p and more facts, in their order. What has expired by now is left out.
func (p *projectTokens) with(facts []state.Fact, now time.Time) *projectTokens {
	var out *projectTokens
	for i := range facts {
		f := &facts[i]
		_, lifted := p.digests[f.Subject]
		if f.Kind != state.ProjectToken && f.Kind != state.ProjectTokenUse && (f.Kind != state.Lift || !lifted && out == nil) {
			continue
		}
		if out == nil {
			out = &projectTokens{maps.Clone(p.byDigest), maps.Clone(p.digests), maps.Clone(p.uses)}
		}
		out.apply(f)
	}
	if out == nil {
		return p
	}
	for fact, digest := range out.digests {
		if t := out.byDigest[digest]; !now.Before(t.Expires) {
			out.drop(fact)
		}
	}
	return out
}

func (p *projectTokens) apply(f *state.Fact) {
	switch f.Kind {
	case state.Lift:
		p.drop(f.Subject)
	case state.ProjectTokenUse:
		if p.uses == nil {
			p.uses = map[string]use{}
		}
		p.uses[f.Subject] = use{f.ID, f.At}
	case state.ProjectToken:
		t, err := readProjectToken(f)
		if err != nil {
			return // what a newer node meant opens nothing here
		}
		if p.byDigest == nil {
			p.byDigest, p.digests = map[[sha256.Size]byte]*identity.ProjectToken{}, map[string][sha256.Size]byte{}
		}
		if p.byDigest[t.Digest] == nil { // one fact tells of a token, and another changes nothing about it
			p.byDigest[t.Digest], p.digests[f.ID] = t, t.Digest
		}
	}
}

func (p *projectTokens) drop(fact string) {
	if digest, ok := p.digests[fact]; ok {
		delete(p.uses, p.byDigest[digest].ID())
		delete(p.byDigest, digest)
		delete(p.digests, fact)
	}
}

// find is the token of this token_id, nil where there is none.
func (p *projectTokens) find(id string) *identity.ProjectToken {
	for _, t := range p.byDigest {
		if t.ID() == id {
			return t
		}
	}
	return nil
}

func readProjectToken(f *state.Fact) (*identity.ProjectToken, error) {
	var w wireProjectToken
	if err := json.Unmarshal(f.Payload, &w); err != nil {
		return nil, err
	}
	t := &identity.ProjectToken{
		Environment: w.Environment, Subject: w.Subject, CreatedBy: w.CreatedBy, Created: f.At, Expires: f.ExpiresAt,
	}
	if copy(t.Digest[:], w.Digest) != len(t.Digest) || t.Subject == "" || t.Expires.IsZero() {
		return nil, fmt.Errorf("%w: no project token", state.ErrInvalidFact)
	}
	var err error
	if t.Scopes, err = policy.ParseScopes(w.Scope); err != nil {
		return nil, err
	}
	if w.Base != "" {
		t.Base, err = secret.ParsePath(w.Base)
	}
	return t, err
}

// projectTokenFact is what every node has to know of a token.
func projectTokenFact(id string, t *identity.ProjectToken) (state.Fact, error) {
	payload, err := json.Marshal(wireProjectToken{
		Digest: t.Digest[:], Environment: t.Environment, Subject: t.Subject, Scope: t.Scopes.String(), Base: t.Base.String(), CreatedBy: t.CreatedBy,
	})
	return state.Fact{ID: id, Kind: state.ProjectToken, Subject: t.ID(), At: t.Created, ExpiresAt: t.Expires, Payload: payload}, err
}
