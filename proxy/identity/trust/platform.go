package trust

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// platform is what is known of an issuer, as data: the template that makes rules for it, and what every rule for it must
// keep to, whoever wrote the rule.
type platform struct {
	name string

	// The issuers that are the platform's: hosts, with a leading dot for the names below one.
	hosts []string
	// claims, or all below one that ends in a slash, and subject, a beginning of sub, are in tokens of no other platform:
	// who runs it for themselves may give it any host.
	claims  []string
	subject string
	// shared are those of them that sign for every customer of the platform, so that iss says nothing of who it is.
	shared []string
	// nobodys are issuers that no token has, although a service describes itself so.
	nobodys []string

	// ids are the claims that the platform never gives to another, the narrowest first. "*" before a suffix stands for
	// every name that ends so. No rule goes without one.
	ids []string
	// names are claims that people take for ids, each with the reason why it is none.
	names map[string]string
	// common are ids that customers of a shared issuer may have in common.
	common []string
	// exact are claims that every rule must require, with values written out; where a rule names several, its map must
	// tell them apart.
	exact []string
	// chosen are claims that whoever asks for the token writes into it.
	chosen []string
	// commonAud is the beginning of audiences that every relying party of a customer shares.
	commonAud string
	// stringAud says that aud is a string in every token of the platform.
	stringAud bool

	template template
}

// template is how the platform's rules are made. {KEY} stands for what the rule says under with.
type template struct {
	issuer     string
	jwksURI    string
	algorithms []string
	maxTTL     time.Duration
	audience   string // taken where allow_default_audience is said
	assertion  bool
	vouched    bool
	require    map[string]string
	with       []parameter
	oneOf      []string // at least one of these must be said
	why        string   // why one of them
	// variant is a boolean key that changes where the issuer and its keys are.
	variant                    string
	variantIssuer, variantJWKS string
}

// parameter is one key of with.
type parameter struct {
	name     string
	kind     kind
	required bool
	number   bool   // in digits: names are given to others
	def      string // of a text that is not said
	doc      string
}

type kind uint8

const (
	oneText  kind = iota
	manyText      // a list; one text will do
	boolean
)

// FunctionURL is the issuer of callers whom AWS names in the events of a Function URL. No token has it as iss, and no
// client as its name.
const FunctionURL = "aws:function-url"

// platformOf finds the platform of a rule: by the template that made it, by the host of its issuer, or by claims that
// only one platform has.
func platformOf(all []platform, r *Rule) *platform {
	host := ""
	if u, err := url.Parse(r.Issuer); err == nil {
		host = strings.ToLower(u.Hostname())
	}
	for i := range all {
		p := &all[i]
		if r.Template != "" && p.name == r.Template || r.Assertion && p.template.assertion {
			return p
		}
	}
	for i := range all {
		p := &all[i]
		if slices.ContainsFunc(p.hosts, func(h string) bool { return h == host || h[0] == '.' && strings.HasSuffix(host, h) }) {
			return p
		}
	}
	for i := range all {
		if all[i].marks(r) {
			return &all[i]
		}
	}
	return &all[len(all)-1]
}

// marks reports whether r speaks of what only tokens of the platform have.
func (p *platform) marks(r *Rule) bool {
	for name, values := range r.Require {
		for _, c := range p.claims {
			if name == c || strings.HasSuffix(c, "/") && strings.HasPrefix(name, c) {
				return true
			}
		}
		if name == "sub" && p.subject != "" && slices.ContainsFunc(values, func(v string) bool { return strings.HasPrefix(v, p.subject) }) {
			return true
		}
	}
	return false
}

// id reports whether a requirement pins an identity of the issuer for good: it is of an immutable claim, and its values
// are written out.
func (p *platform) id(issuer string, r *requirement) (rank int, ok bool) {
	rank = slices.IndexFunc(p.ids, func(id string) bool {
		suffix, wild := strings.CutPrefix(id, "*")
		return id == r.claim.text || wild && strings.HasSuffix(r.claim.text, suffix)
	})
	if rank < 0 || !r.literal() || slices.Contains(p.shared, issuer) && slices.Contains(p.common, r.claim.text) {
		return 0, false
	}
	if p.name == "github" && r.claim.text == "sub" {
		return rank, !slices.ContainsFunc(r.values, func(v string) bool { return !hasIDs(v) })
	}
	return rank, true
}

// hasIDs reports whether a subject of GitHub holds the ids of owner and repository: repo:OWNER@ID/REPO@ID:…
func hasIDs(sub string) bool {
	segments := strings.SplitN(sub, ":", 3)
	if len(segments) < 3 || segments[0] != "repo" {
		return false
	}
	owner, repo, ok := strings.Cut(segments[1], "/")
	return ok && endsInID(owner) && endsInID(repo)
}

func endsInID(s string) bool {
	name, id, ok := strings.Cut(s, "@")
	return ok && name != "" && id != "" && strings.Trim(id, "0123456789") == ""
}
