package config

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// TrustSet makes the trust rules ready to be held against tokens: templates filled, audiences as identity has them where
// a rule names none. Its error is a trust.Errors whose places are those in Trust; a decoded Config gives none.
func (id *Identity) TrustSet() (*trust.Set, error) {
	var errs trust.Errors
	var rules []trust.Rule
	var places []int
	add := func(err error, place func(int) int) {
		var found trust.Errors
		if errors.As(err, &found) {
			for _, e := range found {
				e.Index = place(e.Index)
				e.Rule = id.Trust[e.Index].Name
			}
			errs = append(errs, found...)
		}
	}
	for i := range id.Trust {
		r, err := id.rule(&id.Trust[i])
		if err == nil && id.Issuer != "" && r.Issuer == id.Issuer {
			err = trust.Errors{{Key: []any{"issuer"}, Msg: "is our own, as identity.issuer says: what our tokens may do is in them, and no rule can be for them"}}
		}
		if err != nil {
			add(err, func(int) int { return i })
			continue
		}
		rules, places = append(rules, r), append(places, i)
	}
	set, err := trust.New(rules)
	add(err, func(i int) int { return places[i] })
	if len(errs) > 0 {
		return nil, errs
	}
	return set, nil
}

func (id *Identity) rule(r *TrustRule) (trust.Rule, error) {
	out := trust.Rule{
		Name: r.Name, Issuer: r.Issuer, JWKSURI: r.JWKSURI, JWKS: r.JWKS.String(), CA: r.CA.String(), AllowPrivate: r.AllowPrivate,
		Algorithms: r.Algs, Audiences: r.Audiences, Require: r.Require, Forbid: r.Forbid, MaxTTL: time.Duration(r.MaxTTL),
		Map: trust.Map{Base: r.Map.Base, Scopes: r.Map.Scope, Labels: r.Map.Labels},
	}
	switch {
	case r.Template == "" && r.Issuer == "":
		return out, trust.Errors{{Msg: "needs a template or an issuer"}}
	case r.Template == "" && len(r.With) > 0:
		return out, trust.Errors{{Key: []any{"with"}, Msg: "is for a template, and there is none"}}
	}
	if r.Template == "" {
		out.Audiences = id.audiences(out)
		return out, nil
	}
	with := make(map[string][]string, len(r.With))
	for name, values := range r.With {
		with[name] = values
	}
	made, err := trust.Template(r.Template, with)
	if err != nil {
		return out, err
	}
	if made.Vouched && !id.FunctionURLOnly {
		return out, trust.Errors{{Key: []any{"template"}, Msg: "believes what the event of an invocation says of the caller, and whoever may invoke the function directly writes that: see to it that nobody may, then say so with identity.function_url_only: true"}}
	}
	out.Assertion, out.Vouched = made.Assertion, made.Vouched
	out.Audiences = id.audiences(out)
	return made.Extend(out)
}

// audiences are the rule's own, or the names that this service has: for an assertion also what RFC 7523 section 3 and
// clients in the field take for the name of an authorisation server, its issuer and its token endpoint.
func (id *Identity) audiences(r trust.Rule) []string {
	switch {
	case len(r.Audiences) > 0, r.Vouched:
		return r.Audiences
	case r.Assertion && id.Issuer != "":
		names := []string{id.Audience, id.Issuer, strings.TrimSuffix(id.Issuer, "/") + "/v1/token"}
		return slices.DeleteFunc(names, func(s string) bool { return s == "" })
	case id.Audience != "":
		return []string{id.Audience}
	}
	return nil
}

// trust reports what is wrong with the trust rules, where they are written.
func (k *checker) trust() {
	_, err := k.c.Identity.TrustSet()
	var errs trust.Errors
	if !errors.As(err, &errs) {
		return
	}
	for _, e := range errs {
		rule := root("identity").key("trust").at(e.Index)
		p := rule
		for _, step := range e.Key {
			switch step := step.(type) {
			case string:
				p = p.key(step)
			case int:
				p = p.at(step)
			}
		}
		suggestion := ""
		if name := k.c.Identity.Trust[e.Index].Template; len(e.Key) == 1 && e.Key[0] == "template" && !slices.Contains(trust.Templates(), name) {
			suggestion = suggest(name, trust.Templates())
		}
		k.conflict(p, e.Msg, suggestion, rule.key("template"), rule.key("with"), rule.key("issuer"), rule.key("require"))
	}
}
