package trust_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

// Two identities of one rule whose values differ never get scopes of which one covers the other, whatever stands before
// and behind the place of the value, and whether the rule writes the values out or not.
func TestIdentitiesOfOneRuleStayApart(t *testing.T) {
	admitted := 0
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[a-b_-]{1,4}`)
		one := value.Draw(t, "one")
		two := rapid.OneOf(value, rapid.Map(value, func(more string) string { return one + more })).Draw(t, "two")
		if one == two {
			return
		}
		behind := rapid.StringMatching(`[a_-]{0,2}`).Draw(t, "behind") + rapid.SampledFrom([]string{"", "*", "/*", "*/KEY", "/**"}).Draw(t, "tail")
		r := good()
		r.Require["environment"] = rapid.SampledFrom([][]string{{"*"}, {one, two}}).Draw(t, "require")
		r.Map = trust.Map{Scopes: []string{"read:web/" + rapid.SampledFrom([]string{"", "a"}).Draw(t, "before") + "{environment}" + behind}}
		set, err := trust.New([]trust.Rule{r})
		if err != nil {
			return
		}
		first, err1 := set.Admit(tokenFor(one))
		second, err2 := set.Admit(tokenFor(two))
		if err1 != nil || err2 != nil {
			return
		}
		admitted++
		if a, b := first.Scopes[0].Pattern, second.Scopes[0].Pattern; a.Covers(b) || b.Covers(a) {
			t.Fatalf("%s makes %s, and %s makes %s", one, a, two, b)
		}
	})
	if admitted == 0 {
		t.Error("no two were ever admitted")
	}
}

// What stands behind the place of a claim, and before anything, shows where the value ends: a value that hides the end is
// refused, and so are those of two claims that could be divided in two ways.
func TestValuesThatHideTheirEnd(t *testing.T) {
	for _, tt := range []struct {
		scope, environment, ref string
		want                    string // the scope, "" for a refusal
	}{
		{"read:ci/{environment}_*", "74", "x", "ci/74_*"},
		{"read:ci/{environment}_*", "74_5", "x", ""},
		{"read:ci/{environment}--*", "a-", "x", ""},
		{"read:ci/{environment}-{ref}/*", "web", "admin-1", "ci/web-admin-1/*"},
		{"read:ci/{environment}-{ref}/*", "web-admin", "1", ""},
		{"read:ci/{environment}-x/*", "a-x", "x", "ci/a-x-x/*"},
		{"read:ci/{environment}/x-*", "a/x-", "x", ""},
		{"read:ci/{environment}/x-*", "a", "x", "ci/a/x-*"},
	} {
		r := good()
		r.Require["environment"], r.Require["ref"] = []string{"*"}, []string{"*"}
		r.Map = trust.Map{Scopes: []string{tt.scope}}
		set := mustSet(t, r)
		tok := githubToken(t, map[string]any{"environment": tt.environment, "ref": tt.ref})
		got := ""
		if g, err := set.Admit(tok); err == nil {
			got = g.Scopes[0].Pattern.String()
		}
		if got != tt.want {
			t.Errorf("%s of %s, %s: got %q, want %q", tt.scope, tt.environment, tt.ref, got, tt.want)
		}
		found := set.Explain(tok)
		if i := slices.IndexFunc(found, func(f trust.Finding) bool { return f.Check == "map" && f.Reason != "" }); (i < 0) != (tt.want != "") {
			t.Errorf("%s of %s: explained as %+v", tt.scope, tt.environment, found)
		}
	}
}
