package trust

import (
	"cmp"
	"fmt"
	"slices"
)

// Set is a list of valid rules. It is immutable, and safe for concurrent use.
type Set struct {
	rules    []rule
	issuers  []Issuer
	byIssuer map[string]*index
}

// index finds the rules of one issuer that may take a token by an immutable id that they want.
type index struct {
	place  int // in Set.issuers
	claims []claimIndex
}

type claimIndex struct {
	claim claim
	rules map[string][]int // value -> places of rules, ascending
}

// New checks the rules. Their lists and maps must not change afterwards. Its error is an Errors with everything that is wrong; places are those in rules.
func New(rules []Rule) (*Set, error) {
	s := &Set{rules: make([]rule, len(rules)), byIssuer: make(map[string]*index)}
	own := slices.Clone(rules)
	names := make(map[string]int, len(rules))
	var errs Errors
	for i := range own {
		k := checker{rule: rule{Rule: &own[i], platform: platformOf(platforms(), &own[i])}}
		k.check()
		if first, dup := names[k.Name]; dup && k.Name != "" {
			k.fail(fmt.Sprintf("rule %d of the list has the same name; revoking one would end the other", first+1), "name")
		}
		names[k.Name] = i
		k.errs = append(k.errs, s.join(&own[i])...)
		for _, e := range k.errs {
			e.Index, e.Rule = i, k.Name
		}
		errs = append(errs, k.errs...)
		if s.rules[i] = k.rule; len(k.errs) == 0 {
			s.byIssuer[k.Issuer].add(&s.rules[i], i)
		}
	}
	if len(errs) == 0 {
		errs = s.checkLocations()
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return s, nil
}

// join adds what a rule says of its issuer to what others have said. They must agree: keys are an issuer's, not a rule's.
func (s *Set) join(r *Rule) Errors {
	x := s.byIssuer[r.Issuer]
	if x == nil {
		x = &index{place: len(s.issuers)}
		s.byIssuer[r.Issuer] = x
	}
	if r.Vouched { // nobody signs for it
		return nil
	}
	if x.place == len(s.issuers) {
		s.issuers = append(s.issuers, Issuer{Issuer: r.Issuer, Assertion: r.Assertion})
	}
	iss := &s.issuers[x.place]
	var errs Errors
	for _, f := range []struct {
		key  string
		mine string
		all  *string
	}{{"jwks_uri", r.JWKSURI, &iss.JWKSURI}, {"jwks", r.JWKS, &iss.JWKS}, {"ca", r.CA, &iss.CA}} {
		if f.mine != "" && *f.all != "" && f.mine != *f.all {
			errs = append(errs, &Error{Key: key(f.key), Msg: fmt.Sprintf("another rule of this issuer says %s; keys are an issuer's, so its rules must agree", excerpt(*f.all))})
		}
		*f.all = cmp.Or(*f.all, f.mine)
	}
	iss.AllowPrivate = iss.AllowPrivate || r.AllowPrivate
	for _, a := range r.Algorithms {
		if i, ok := slices.BinarySearch(iss.Algorithms, a); !ok {
			iss.Algorithms = slices.Insert(iss.Algorithms, i, a)
		}
	}
	return errs
}

func (x *index) add(r *rule, place int) {
	id := &r.require[r.pinned]
	i := slices.IndexFunc(x.claims, func(c claimIndex) bool { return c.claim.text == id.claim.text })
	if i < 0 {
		i = len(x.claims)
		x.claims = append(x.claims, claimIndex{id.claim, make(map[string][]int)})
	}
	for _, v := range slices.Compact(slices.Sorted(slices.Values(id.values))) {
		x.claims[i].rules[v] = append(x.claims[i].rules[v], place)
	}
}

// Len is how many rules there are.
func (s *Set) Len() int { return len(s.rules) }

// Rule is the rule at a place in file order. It is shared: never change it.
func (s *Set) Rule(place int) *Rule { return s.rules[place].Rule }

// Issuers is every issuer of tokens that a rule names, in the order of the first rule of each. It is shared: never change it.
func (s *Set) Issuers() []Issuer { return s.issuers }
