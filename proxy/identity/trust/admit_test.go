package trust_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func githubToken(t testing.TB, change map[string]any) trust.Token {
	t.Helper()
	claims := map[string]any{
		"iss": github, "sub": "repo:acme/web:environment:production", "aud": "https://keyhole.example", "iat": 1700000000, "exp": 1700000300,
		"repository_id": "74", "repository_owner_id": "65", "environment": "production",
	}
	maps.Copy(claims, change)
	return tokenOf(t, "RS256", claims)
}

// The first rule in file order counts, by whichever id it looks its tokens up.
func TestTheFirstRuleCounts(t *testing.T) {
	rule := func(name, claim, value, scope string) trust.Rule {
		r := good()
		r.Name, r.Require, r.Map = name, map[string][]string{claim: {value}}, trust.Map{Scopes: []string{scope}}
		return r
	}
	byRepository, byOwner := rule("repository", "repository_id", "74", "read:a"), rule("owner", "repository_owner_id", "65", "read:b")
	stranger, strict := rule("stranger", "repository_owner_id", "66", "read:c"), rule("strict", "repository_id", "74", "read:d")
	strict.Require["environment"] = []string{"staging"}
	for _, tt := range []struct {
		rules []trust.Rule
		want  string
	}{
		{[]trust.Rule{byRepository, byOwner}, "repository"},
		{[]trust.Rule{byOwner, byRepository}, "owner"},
		{[]trust.Rule{stranger, byOwner, byRepository}, "owner"},
		{[]trust.Rule{strict, stranger, byRepository, byOwner}, "repository"},
		{[]trust.Rule{strict, stranger, byOwner, byRepository}, "owner"},
	} {
		set := mustSet(t, tt.rules...)
		tok := githubToken(t, nil)
		g, err := set.Admit(tok)
		if err != nil || g.Rule.Name != tt.want {
			t.Errorf("got %+v, %v; want rule %s", g, err, tt.want)
		}
		found := set.Explain(tok)
		i := slices.IndexFunc(found, func(f trust.Finding) bool { return f.Taken })
		if len(found) != len(tt.rules) || found[i].Rule.Name != tt.want {
			t.Errorf("explained as %+v, want rule %s first", found, tt.want)
		}
	}
}

// Admit and Explain are of one mind, and a refusal says where it was, and nothing of the token.
func TestRefusalsSayNothingOfTheToken(t *testing.T) {
	set := mustSet(t, good())
	for name, tok := range map[string]trust.Token{
		"check aud":                             githubToken(t, map[string]any{"aud": "canary"}),
		"check require environment":             githubToken(t, map[string]any{"environment": "canary"}),
		"no rule of its issuer is for this":     githubToken(t, map[string]any{"repository_id": "canary"}),
		"no rule is for its issuer":             githubToken(t, map[string]any{"iss": "https://canary.example"}),
		"check sub":                             githubToken(t, map[string]any{"sub": strings.Repeat("canary", 100)}),
		"no trust rule takes the token: rule c": githubToken(t, map[string]any{"aud": []string{"canary", "canary"}}),
	} {
		_, err := set.Admit(tok)
		if !errors.Is(err, trust.ErrRefused) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v, want %s", err, name)
		}
		if found := set.Explain(tok); found[0].Taken {
			t.Errorf("%s: taken all the same", name)
		}
	}
}

// Reasons say what is there, what is wanted and what to do; they quote the claim that did not fit, its beginning.
func TestReasons(t *testing.T) {
	r := good()
	r.Require["ref"] = []string{"a", "b", "c", "d", "e", "f", "g"}
	set := mustSet(t, r)
	for _, tt := range []struct {
		change map[string]any
		want   string
	}{
		{map[string]any{"iss": github + "/acme"}, `iss is "` + github + `/acme", and the rule is for "` + github + `", to the letter`},
		{map[string]any{"exp": 1700090000}, `the token lives 25h0m0s (exp - iat), and the rule allows 24h0m0s; ask for a shorter one, or raise max_ttl`},
		{map[string]any{"exp": 1700000000}, `the token lives 0s (exp - iat)`},
		{map[string]any{"aud": "other"}, `aud is "other", and the rule takes "https://keyhole.example"; ask for a token with that audience`},
		{map[string]any{"aud": []string{"https://keyhole.example", "other"}}, `aud names 2 audiences, and any of them could bring the token here; ask for a token with one`},
		{map[string]any{"aud": 7}, `aud is not a text`},
		{map[string]any{"aud": nil}, `aud is not a text`},
		{map[string]any{"environment": strings.Repeat("é", 80)}, `claim environment is "` + strings.Repeat("é", 30) + `…"; the rule wants "production"`},
		{map[string]any{"environment": "a\nb"}, `claim environment is an empty text, a very long one, or one with control characters, and only one text`},
		{map[string]any{"environment": []string{"production"}}, `claim environment is a list, and only one text, whole number or boolean can be compared; the rule wants "production"`},
		{map[string]any{"environment": nil}, `claim environment is null`},
		{map[string]any{}, `the token has no claim ref; the rule wants "a" or "b" or "c" or "d" or "e" or 2 more`},
	} {
		if got := set.Explain(githubToken(t, tt.change))[0].Reason; !strings.Contains(got, tt.want) {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// A token cannot write what only a rule says: labels, and what a pointer leads to.
func TestATokenHasNoLabels(t *testing.T) {
	r := good()
	r.Require["/google/zone"] = []string{"z"}
	r.Map.Labels = map[string]string{"team": "web"}
	g, err := mustSet(t, r).Admit(githubToken(t, map[string]any{
		"labels.team": "admin", "labels.other": "admin", "/google/zone": "other", "/google/other": "x", "google": map[string]any{"zone": "z"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.Pair{
		{Name: "/google/zone", Value: "z"},
		{Name: "environment", Value: "production"},
		{Name: "labels.team", Value: "web"},
		{Name: "repository_id", Value: "74"},
		{Name: "repository_owner_id", Value: "65"},
	}
	if !slices.Equal(g.Claims, want) {
		t.Errorf("got  %v\nwant %v", g.Claims, want)
	}
}

// Whatever a claim says, what it fills in is one segment or part of one: the scope that comes out covers nothing that the
// same scope with "*" in that segment would not.
func TestPlacesNeverWiden(t *testing.T) {
	value := rapid.OneOf(
		rapid.StringMatching(`[A-Za-z0-9._-]{1,140}`), rapid.String(),
		rapid.SampledFrom([]string{"*", "**", "..", ".", "a/b", "a/**", "/", "a b", "a read:**", "", "x*", "\x00", "é", "{environment}", "%2f", strings.Repeat("a", 129)}),
	)
	admitted := 0
	rapid.Check(t, func(t *rapid.T) {
		before, after := rapid.SampledFrom([]string{"", "a", "pre-"}).Draw(t, "before"), rapid.SampledFrom([]string{"", "-x", ".y"}).Draw(t, "after")
		tail := rapid.SampledFrom([]string{"", "/*", "/KEY", "/K*", "/**"}).Draw(t, "tail")
		r := good()
		r.Require["environment"] = []string{"*"}
		place := "web/" + before + "{environment}" + after
		r.Map = trust.Map{Base: place, Scopes: []string{"read:" + place + tail}}
		switch rapid.IntRange(0, 2).Draw(t, "where") {
		case 0:
			r.Map.Base = ""
		case 1:
			r.Map.Scopes = []string{"read:other/*"}
		}
		set, err := trust.New([]trust.Rule{r})
		if err != nil {
			t.Fatal(err)
		}
		v := value.Draw(t, "value")
		n := tokenFor(v)
		g, err := set.Admit(n)
		segment, perr := secret.ParsePath(v)
		if fits := perr == nil && segment.Segments() == 1; err == nil && !fits {
			t.Fatalf("%q was filled in: %s", v, g.Scopes)
		}
		if err != nil {
			return
		}
		admitted++
		shape, err := policy.ParseScope("read:web/" + before + "*" + tail)
		if r.Map.Scopes[0] == "read:other/*" {
			shape = g.Scopes[0]
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(g.Scopes) != 1 || g.Scopes[0].Action != shape.Action || !shape.Pattern.Covers(g.Scopes[0].Pattern) {
			t.Fatalf("%q makes %s of %s", v, g.Scopes, shape)
		}
		if want := before + v + after; r.Map.Base != "" && (g.Base.String() != "web/"+want || g.Base.Segments() != 2) {
			t.Fatalf("%q makes base %s", v, g.Base)
		}
	})
	if admitted == 0 {
		t.Error("nothing was ever filled in")
	}
}

// A rule is found among ten thousand of its issuer.
func TestManyRules(t *testing.T) {
	set := manyRules(t, 1000)
	for _, i := range []int{0, 1, 499, 999} {
		g, err := set.Admit(githubToken(t, map[string]any{"repository_id": fmt.Sprint(i)}))
		if want := fmt.Sprintf("r%d", i); err != nil || g.Rule.Name != want {
			t.Errorf("got %+v, %v; want %s", g, err, want)
		}
	}
	if _, err := set.Admit(githubToken(t, map[string]any{"repository_id": "1000"})); !errors.Is(err, trust.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func manyRules(t testing.TB, n int) *trust.Set {
	t.Helper()
	rules := make([]trust.Rule, n)
	for i := range rules {
		rules[i] = good()
		rules[i].Name, rules[i].Require["repository_id"] = fmt.Sprintf("r%d", i), []string{fmt.Sprint(i)}
	}
	return mustSet(t, rules...)
}

// BenchmarkAdmit is one of many rules of one issuer.
func BenchmarkAdmit(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			set := manyRules(b, n)
			tok := githubToken(b, map[string]any{"repository_id": fmt.Sprint(n - 1)})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := set.Admit(tok); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNew is ten thousand rules of one issuer.
func BenchmarkNew(b *testing.B) {
	set := manyRules(b, 10_000)
	rules := make([]trust.Rule, set.Len())
	for i := range rules {
		rules[i] = *set.Rule(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := trust.New(rules); err != nil {
			b.Fatal(err)
		}
	}
}
