package wasm

import (
	"strconv"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// appendJSON appends the request in the encoding json: one object, every member present, always in the same order. It
// is false where the request would be larger than maxRequestBytes.
func (p *projection) appendJSON(dst []byte, r *policy.Request) ([]byte, bool) {
	j := jsonText{dst[:0], true}
	j.raw(`{"version":1`)
	j.member(`,"action":`, p.text(slotAction, r))
	j.member(`,"secret":{"path":`, p.text(slotPath, r))
	j.member(`,"mount":`, p.text(slotMount, r))
	j.member(`,"version":`, p.text(slotVersion, r))
	j.pairs(`,"labels":{`, &p.labels, r.Labels)
	j.member(`},"principal":{"trust":`, p.text(slotTrust, r))
	j.member(`,"issuer":`, p.text(slotIssuer, r))
	j.member(`,"subject":`, p.text(slotSubject, r))
	j.raw(`,"scopes":[`)
	for i, s := range p.scopesOf(r) {
		if i > 0 {
			j.raw(",")
		}
		// Actions and patterns consist of characters that need no escape.
		j.raw(`"`)
		j.raw(string(s.Action))
		j.raw(":")
		j.raw(s.Pattern.String())
		j.raw(`"`)
	}
	j.pairs(`],"claims":{`, &p.claims, r.Principal.Claims)
	j.number(`,"token_expires":`, p.expiresSeconds(r))
	j.member(`,"authenticated_by":`, p.text(slotAuthenticatedBy, r))
	j.number(`},"context":{"time_ms":`, p.nowMillis(r))
	j.member(`,"region":`, p.text(slotRegion, r))
	j.member(`,"source_ip":`, p.text(slotSourceIP, r))
	j.member(`,"surface":`, p.text(slotSurface, r))
	j.member(`,"user_agent":`, p.text(slotUserAgent, r))
	j.member(`,"deployment":`, p.text(slotDeployment, r))
	j.number(`,"anomaly":`, p.anomaly(r))
	j.raw(`,"approval":null}}`)
	if !utf8.Valid(j.b) { // some string is not: each such byte becomes U+FFFD
		j.b = append(j.b[:0], string([]rune(string(j.b)))...)
	}
	return j.b, j.ok && len(j.b) <= maxRequestBytes
}

// jsonText is a document under construction. It stops growing soon after it has become too large.
type jsonText struct {
	b  []byte
	ok bool
}

func (j *jsonText) raw(s string) {
	if j.ok = j.ok && len(j.b)+len(s) <= maxRequestBytes; j.ok {
		j.b = append(j.b, s...)
	}
}

func (j *jsonText) number(key string, n int64) {
	j.raw(key)
	j.b = strconv.AppendInt(j.b, n, 10)
}

func (j *jsonText) member(key, value string) {
	j.raw(key)
	j.str(value)
}

// pairs appends key, which opens the object, the pairs and the closing brace.
func (j *jsonText) pairs(key string, filter *pairFilter, pairs []policy.Pair) {
	j.raw(key)
	first := true
	for i := range pairs {
		if !filter.has(pairs[i].Name) {
			continue
		}
		if !first {
			j.raw(",")
		}
		first = false
		j.str(pairs[i].Name)
		j.raw(":")
		j.str(pairs[i].Value)
	}
	j.raw("}")
}

// str appends a string, whose bytes need not be UTF-8 yet.
func (j *jsonText) str(s string) {
	if j.ok = j.ok && len(j.b)+len(s)+2 <= maxRequestBytes; j.ok {
		j.b = jsontext.AppendString(j.b, s)
	}
}
