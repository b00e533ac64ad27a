package identity

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Claims are what an access token says, in Go's types: what Sign takes and what Verify reads.
type Claims struct {
	Subject  string        // sub
	ClientID string        // client_id (RFC 9068)
	TokenID  string        // jti: 1-128 printable ASCII characters, unique to the token
	Scopes   policy.Scopes // scope: 1-32
	Base     secret.Path   // base: what short names are resolved against; may be zero

	Trust         string   // kh.trust: the rule that admitted the identity; "local" for the CLI
	OriginIssuer  string   // kh.origin_iss: iss of the identity behind the token
	OriginTokenID string   // kh.origin_jti: the token that was exchanged; may be empty
	Parents       []string // kh.parents: jti of the tokens this one was narrowed from, at most MaxParents

	// Claims are kh.claims: what policies saw of the token that was exchanged, sorted by name. An exchange that left them
	// behind would leave behind what a policy denies by.
	Claims []policy.Pair

	Cnf string // cnf.jkt (RFC 9449 section 6.1): thumbprint of the key the holder must prove; may be empty

	// IssuedAt, NotBefore and Expires are whole seconds: fractions are cut off. A zero NotBefore means IssuedAt.
	IssuedAt, NotBefore, Expires time.Time
}

const (
	maxIDBytes   = 128 // jti, kid and names of trust rules
	maxNameBytes = 512 // sub, client_id and issuers
)

// maxSeconds is 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
const maxSeconds = 253402300799

// readClaims reads the claims of an access token. The names that RFC 9068 and this package do not define are ignored, as
// RFC 9068 section 2.2 wants; inside kh and cnf an unknown name may be a restriction, so it is refused.
func readClaims(n *strictjson.Node) (*Claims, error) {
	c := &Claims{}
	var err error
	read := func(into *string, name string, limit int) {
		if err == nil {
			*into, err = text(n.Get(name), name, limit)
		}
	}
	seconds := func(into *time.Time, name string) {
		if err == nil {
			*into, err = instant(n.Get(name), name)
		}
	}
	var scope string
	seconds(&c.Expires, "exp")
	seconds(&c.NotBefore, "nbf")
	seconds(&c.IssuedAt, "iat")
	read(&c.Subject, "sub", maxNameBytes)
	read(&c.ClientID, "client_id", maxNameBytes)
	read(&c.TokenID, "jti", maxIDBytes)
	read(&scope, "scope", MaxTokenBytes)
	if err != nil {
		return nil, err
	}
	if !printable(c.TokenID) {
		return nil, invalid("jti is not printable ASCII")
	}
	// The errors of these two parsers quote what they refuse, so they are not passed on.
	if c.Scopes, err = policy.ParseScopes(scope); err != nil {
		return nil, invalid("scope is malformed or has more than 32 entries")
	}
	if base := n.Get("base"); base != nil {
		s, _ := base.Str()
		if c.Base, err = secret.ParsePath(s); err != nil {
			return nil, invalid("base is not a path")
		}
	}
	if err := c.readOrigin(n.Get("kh")); err != nil {
		return nil, err
	}
	return c, c.readCnf(n.Get("cnf"))
}

func (c *Claims) readOrigin(kh *strictjson.Node) error {
	if kh == nil || kh.Kind != strictjson.Object {
		return invalid("kh is absent or not an object")
	}
	for i := range kh.Members {
		m := &kh.Members[i]
		var err error
		switch m.Name {
		case "trust":
			c.Trust, err = text(&m.Value, "kh.trust", maxIDBytes)
		case "origin_iss":
			c.OriginIssuer, err = text(&m.Value, "kh.origin_iss", maxNameBytes)
		case "origin_jti":
			c.OriginTokenID, err = text(&m.Value, "kh.origin_jti", maxNameBytes)
		case "parents":
			c.Parents, err = readParents(&m.Value)
		case "claims":
			c.Claims, err = readPairs(&m.Value)
		default:
			err = invalid("kh has a member that is not known here")
		}
		if err != nil {
			return err
		}
	}
	if c.Trust == "" || c.OriginIssuer == "" {
		return invalid("kh.trust or kh.origin_iss is absent")
	}
	return nil
}

func readParents(n *strictjson.Node) ([]string, error) {
	if n.Kind != strictjson.Array || len(n.Elems) > MaxParents {
		return nil, invalid("kh.parents is not an array of at most 4")
	}
	var out []string
	for i := range n.Elems {
		id, err := text(&n.Elems[i], "kh.parents", maxIDBytes)
		if err != nil {
			return nil, err
		}
		if !printable(id) {
			return nil, invalid("kh.parents is not printable ASCII")
		}
		out = append(out, id)
	}
	return out, nil
}

func readPairs(n *strictjson.Node) ([]policy.Pair, error) {
	if n.Kind != strictjson.Object || len(n.Members) == 0 {
		return nil, invalid("kh.claims is not an object, or empty")
	}
	out := make([]policy.Pair, len(n.Members))
	for i := range n.Members {
		m := &n.Members[i]
		value, err := text(&m.Value, "a member of kh.claims", maxNameBytes)
		if err != nil {
			return nil, err
		}
		if !goodText(m.Name, maxNameBytes) {
			return nil, invalid("a name in kh.claims is empty, too long, or holds control characters")
		}
		out[i] = policy.Pair{Name: m.Name, Value: value}
	}
	slices.SortFunc(out, func(a, b policy.Pair) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// readCnf takes one way of confirmation, a key's SHA-256 thumbprint. One that is not understood must not be ignored:
// the token would then be a bearer token.
func (c *Claims) readCnf(cnf *strictjson.Node) error {
	if cnf == nil {
		return nil
	}
	if cnf.Kind == strictjson.Object && len(cnf.Members) == 1 {
		if s, ok := cnf.Get("jkt").Str(); ok {
			if b, err := decodeBase64(s); err == nil && len(b) == 32 {
				c.Cnf = s
				return nil
			}
		}
	}
	return invalid("cnf is not one jkt thumbprint")
}

// text reads a string that must be there: 1 to limit bytes, without control characters.
func text(n *strictjson.Node, name string, limit int) (string, error) {
	s, ok := n.Str()
	if !ok {
		return "", invalid(name + " is absent or not a string")
	}
	if !goodText(s, limit) {
		return "", invalid(name + " is empty, too long, or holds control characters")
	}
	return s, nil
}

func goodText(s string, limit int) bool {
	if s == "" || len(s) > limit || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// instant reads a NumericDate, which here is an integer: RFC 7519 allows fractions, but no two parsers agree on them. Zero is refused: the library takes it for absent.
func instant(n *strictjson.Node, name string) (time.Time, error) {
	s, ok := n.Int64()
	if !ok || s < 1 || s > maxSeconds {
		return time.Time{}, invalid(name + " is absent or not a whole number of seconds")
	}
	return time.Unix(s, 0).UTC(), nil
}
