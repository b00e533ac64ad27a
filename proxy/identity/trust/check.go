package trust

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// Limits of a rule.
const (
	maxNameBytes  = 64
	maxLabelBytes = 256
)

// algorithms is every signature algorithm that can be verified here.
func algorithms() []string { return []string{"EdDSA", "RS256", "ES256", "ES384"} }

// rule is a Rule, ready to be held against tokens.
type rule struct {
	*Rule
	platform *platform
	require  []requirement // by name of the claim
	forbid   []claim
	base     text
	scopes   []text
	labels   []label
	pinned   int    // of require: the immutable id that tokens are looked up by
	made     *fixed // base and scopes, where no claim has a place in them
}

type label struct {
	name  string // with "labels." before it
	value text
}

// checker makes a rule of a Rule, or says all that is wrong with it.
type checker struct {
	rule
	errs Errors
}

// fail notes what is wrong with what stands at a key. What a template wrote there, it took from under with.
func (k *checker) fail(msg string, at ...any) {
	if k.Template != "" && len(at) > 1 && at[0] == "require" {
		if name := k.platform.template.parameter(at[1].(string)); name != "" {
			at = append(key("with", name), at[2:]...)
		}
	}
	k.errs = append(k.errs, &Error{Rule: k.Name, Key: at, Msg: msg})
}

func (k *checker) check() {
	k.checkName()
	k.checkIssuer()
	k.checkAlgorithms()
	k.checkAudiences()
	k.checkLife()
	k.checkRequire()
	k.checkForbid()
	k.checkIdentity()
	k.checkMap()
}

func (k *checker) checkName() {
	switch {
	case k.Name == "local":
		k.fail(`"local" is the name of tokens signed with our own key by hand; choose another`, "name")
	case k.Name == "project":
		k.fail(`"project" is the name of project tokens; choose another`, "name")
	case k.Name == "hook":
		k.fail(`"hook" is the name of what hooks sign; choose another`, "name")
	case k.Name == "event":
		k.fail(`"event" is the name of what a platform tells; choose another`, "name")
	case k.Name == "" || len(k.Name) > maxNameBytes || strings.Trim(k.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != "":
		k.fail("want a name such as web-1 (letters, digits, _ . -; at most 64): records and revocations use it", "name")
	}
}

// checkIssuer says what is wrong with the iss of a platform, "" if nothing.
func checkIssuer(iss string) string {
	u, err := url.Parse(iss)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(iss) > maxClaimBytes || !plain(iss) {
		return "want the https URL that tokens have as iss, to the letter: keys fetched without TLS could be anybody's"
	}
	return ""
}

// IsClientID reports whether a client may have this name. It is the iss of assertions, and no platform's.
func IsClientID(name string) bool {
	return name != "" && len(name) <= maxClaimBytes && !strings.ContainsAny(name, ":/ ") && plain(name)
}

func (k *checker) checkIssuer() {
	switch msg := checkIssuer(k.Issuer); {
	case k.Vouched:
		k.checkVouched()
	case k.Assertion && !IsClientID(k.Issuer):
		k.fail(`want a client_id without ":", "/" and spaces: it is the iss of assertions, and must not be that of a platform`, "issuer")
	case !k.Assertion && msg != "":
		k.fail(msg, "issuer")
	case slices.Contains(k.platform.nobodys, k.Issuer):
		k.fail("no token has this iss: whoever signs in there, the token says of which tenant; name the tenant, by its id", "issuer")
	case k.JWKSURI != "" && !strings.HasPrefix(k.JWKSURI, "https://"):
		k.fail("want an https URL: keys fetched without TLS could be anybody's", "jwks_uri")
	case k.Assertion && (k.JWKSURI != "" || k.CA != "" || k.AllowPrivate):
		k.fail("is for a platform: a client's keys are in the file that jwks names, and nowhere else; remove jwks_uri, ca and allow_private", "template")
	case k.Assertion && k.JWKS == "":
		k.fail("is needed: a client has no place on the network to fetch its keys from; name a file of its public keys, as in file:keys/worker.json", "jwks")
	}
}

// checkVouched refuses what is for tokens.
func (k *checker) checkVouched() {
	for _, f := range []struct {
		key string
		set bool
	}{
		{"jwks_uri", k.JWKSURI != ""},
		{"jwks", k.JWKS != ""},
		{"ca", k.CA != ""},
		{"allow_private", k.AllowPrivate},
		{"algs", len(k.Algorithms) > 0},
		{"audiences", len(k.Audiences) > 0},
		{"max_ttl", k.MaxTTL != k.platform.template.maxTTL},
	} {
		if f.set {
			k.fail("is for tokens, and these callers bring none; remove it", f.key)
		}
	}
}

func (k *checker) checkAlgorithms() {
	if k.Vouched {
		return
	}
	if len(k.Algorithms) == 0 {
		k.fail("names no algorithm; want some of "+strings.Join(algorithms(), ", "), "algs")
	}
	for i, a := range k.Algorithms {
		if !slices.Contains(algorithms(), a) {
			k.fail(fmt.Sprintf("%s is none of %s", excerpt(a), strings.Join(algorithms(), ", ")), "algs", i)
		}
	}
}

func (k *checker) checkAudiences() {
	if k.Vouched {
		return
	}
	if len(k.Audiences) == 0 {
		k.fail("is needed: a token that is meant for another service must not be taken here; name what callers ask for, or set identity.audience", "audiences")
	}
	for i, aud := range k.Audiences {
		switch {
		case aud == "" || len(aud) > maxClaimBytes || !plain(aud):
			k.fail(fmt.Sprintf("want an audience of 1 to %d bytes without control characters", maxClaimBytes), "audiences", i)
		case strings.Contains(aud, "*"):
			k.fail(`an audience is compared to the letter, "*" too; write it out`, "audiences", i)
		case k.platform.commonAud != "" && strings.HasPrefix(aud, k.platform.commonAud) && !k.SharedAudience:
			k.fail(fmt.Sprintf("all services that a team of %s gives its tokens to share this audience, so that any of them could bring a token here; let the app ask for a token with an audience of yours, or use the template with allow_default_audience: true", k.platform.name), "audiences", i)
		}
	}
}

func (k *checker) checkLife() {
	if k.MaxTTL == 0 {
		k.MaxTTL = DefaultMaxTTL
		if k.Assertion {
			k.MaxTTL = MaxAssertionTTL
		}
	}
	if k.MaxTTL < 0 || k.Assertion && k.MaxTTL > MaxAssertionTTL {
		k.fail(fmt.Sprintf("want a duration above 0; an assertion lives %v at most", MaxAssertionTTL), "max_ttl")
	}
}

// elsewhere says where a rule speaks of a claim that is not for require or forbid.
func elsewhere(name string) string {
	switch name {
	case "iss":
		return "say which issuer with issuer"
	case "aud":
		return "say which audience with audiences"
	case "exp", "iat", "nbf":
		return "times are always checked; say how long a token may live with max_ttl"
	case "jti":
		return "every token has another"
	}
	return ""
}

func (k *checker) claim(name string, at ...any) (claim, bool) {
	c, msg := parseClaim(name)
	if msg == "" {
		msg = elsewhere(name)
	}
	if msg != "" {
		k.fail(msg, at...)
	}
	return c, msg == ""
}

func (k *checker) checkRequire() {
	for _, name := range slices.Sorted(maps.Keys(k.Require)) {
		c, ok := k.claim(name, "require", name)
		if !ok {
			continue
		}
		r := requirement{claim: c, values: slices.Clone(k.Require[name])}
		if len(r.values) == 0 {
			k.fail("allows no value at all; name at least one", "require", name)
		}
		if p := slices.IndexFunc(k.platform.chosen, r.claim.under); p >= 0 {
			k.fail("whoever asks for the token chooses what this says, so it proves nothing; require a claim that the platform sets", "require", name)
		}
		for i, v := range r.values {
			if msg := checkPattern(v); msg != "" {
				k.fail(msg, "require", name, i)
			}
		}
		k.require = append(k.require, r)
	}
}

func (k *checker) checkForbid() {
	for i, name := range k.Forbid {
		c, ok := k.claim(name, "forbid", i)
		if ok && k.Require[name] != nil {
			k.fail("is required and forbidden", "require", name)
		}
		k.forbid = append(k.forbid, c)
	}
}

// checkIdentity wants something that is one identity's for good, and of a customer's own where the issuer has many.
func (k *checker) checkIdentity() {
	best := -1
	for i := range k.require {
		rank, ok := k.platform.id(k.Issuer, &k.require[i])
		if ok && (best < 0 || rank < best) {
			best, k.pinned = rank, i
		}
	}
	if best < 0 {
		k.fail(k.noIdentity(), "require")
	}
	for _, name := range k.platform.exact {
		i := slices.IndexFunc(k.require, func(r requirement) bool { return r.claim.text == name })
		switch {
		case i < 0:
			k.fail(fmt.Sprintf("must name %s: without it tokens of development and preview would do as well", name), "require")
		case !k.require[i].literal():
			k.fail(fmt.Sprintf(`"*" would take every %s, development too; write out which`, name), "require", name)
		}
	}
}

func (k *checker) noIdentity() string {
	var b strings.Builder
	ids := k.platform.ids
	if slices.Contains(k.platform.shared, k.Issuer) {
		fmt.Fprintf(&b, "takes tokens of strangers: %s signs for everybody who has an account there. ", k.Issuer)
		ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(k.platform.common, id) })
	}
	fmt.Fprintf(&b, "needs an immutable id with its values written out, one of %s", strings.ReplaceAll(strings.Join(ids, ", "), "*", "…"))
	for i := range k.require {
		r := &k.require[i]
		if why := k.platform.names[r.claim.text]; why != "" {
			fmt.Fprintf(&b, "; %s is none: %s", r.claim.text, why)
		} else if slices.Contains(k.platform.ids, r.claim.text) {
			fmt.Fprintf(&b, `; %s has a "*" in its values`, r.claim.text)
		}
	}
	return b.String()
}

// checkScopes bounds how many there are.
func (k *checker) checkScopes() {
	if n := len(k.Map.Scopes); n == 0 || n > policy.MaxScopes {
		k.fail(fmt.Sprintf("%d scopes; want 1 to %d", n, policy.MaxScopes), "map", "scope")
	}
}
