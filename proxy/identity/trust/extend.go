package trust

import (
	"cmp"
	"maps"
	"slices"
)

// Extend gives the rule of a template what configuration says beside it. Name and map are own's, and
// algorithms, life and where the keys are too where it says so; audiences, requirements and prohibitions add up. Errors are an
// Errors: own may not change what the template fixes.
func (r Rule) Extend(own Rule) (Rule, error) {
	var errs Errors
	if own.Issuer != "" {
		errs = append(errs, &Error{Key: key("issuer"), Msg: "template " + r.Template + " says which issuer; leave the key out"})
	}
	out := r
	out.Require = maps.Clone(r.Require)
	for _, claim := range slices.Sorted(maps.Keys(own.Require)) {
		if _, ok := r.Require[claim]; ok {
			errs = append(errs, &Error{Key: key("require", claim), Msg: "template " + r.Template + " fixes this claim already; say it under with"})
			continue
		}
		out.Require[claim] = own.Require[claim]
	}
	if len(errs) > 0 {
		return Rule{}, errs
	}
	out.Name, out.Map = own.Name, own.Map
	out.Audiences = append(slices.Clone(own.Audiences), r.Audiences...)
	out.Forbid = append(slices.Clone(r.Forbid), own.Forbid...)
	out.JWKSURI, out.JWKS, out.CA = cmp.Or(own.JWKSURI, r.JWKSURI), cmp.Or(own.JWKS, r.JWKS), cmp.Or(own.CA, r.CA)
	out.AllowPrivate = own.AllowPrivate
	if len(own.Algorithms) > 0 {
		out.Algorithms = own.Algorithms
	}
	out.MaxTTL = cmp.Or(own.MaxTTL, r.MaxTTL)
	return out, nil
}
