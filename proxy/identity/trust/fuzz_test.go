package trust_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// Whatever a payload is, Admit and Explain agree, what is granted is well formed, and it is granted by a rule whose
// immutable id the payload has.
func FuzzAdmit(f *testing.F) {
	var rules []trust.Rule
	for name, x := range readFixtures(f) {
		rules = append(rules, x.rule(f, name))
		text, err := json.Marshal(x.Claims)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, x.Alg, int64(300))
	}
	slices.SortFunc(rules, func(a, b trust.Rule) int { return strings.Compare(a.Name, b.Name) })
	set := mustSet(f, rules...)
	f.Fuzz(func(t *testing.T, payload []byte, alg string, life int64) {
		n, err := strictjson.Parse(payload, strictjson.Limits{Bytes: 8 << 10, Depth: 8, Nodes: 1024})
		if err != nil || n.Kind != strictjson.Object {
			return
		}
		iss, _ := n.Get("iss").Str()
		tok := trust.Token{Issuer: iss, Algorithm: alg, Claims: n, Life: time.Duration(life) * time.Second}
		g, err := set.Admit(tok)
		found := set.Explain(tok)
		first := slices.IndexFunc(found, func(f trust.Finding) bool { return f.Taken })
		if (err == nil) != (first >= 0) || err == nil && g.Rule != found[first].Rule {
			t.Fatalf("admitted as %+v, %v; explained as %+v", g, err, found)
		}
		for _, f := range found {
			if !f.Taken && (f.Check == "" || f.Reason == "" || len(f.Reason) > 8<<10) {
				t.Fatalf("not explained: %+v", f)
			}
		}
		if err != nil {
			if !errors.Is(err, trust.ErrRefused) || g != nil {
				t.Fatalf("got %+v, %v", g, err)
			}
			return
		}
		checkWellFormed(t, g, tok)
	})
}

func checkWellFormed(t *testing.T, g *trust.Grant, tok trust.Token) {
	t.Helper()
	if g.Rule.Issuer != tok.Issuer || tok.Life <= 0 || tok.Life > g.Rule.MaxTTL || !slices.Contains(g.Rule.Algorithms, tok.Algorithm) {
		t.Fatalf("%+v takes %+v", g.Rule, tok)
	}
	if again, err := policy.ParseScopes(g.Scopes.String()); err != nil || len(again) == 0 || len(again) != len(g.Rule.Map.Scopes) {
		t.Fatalf("scopes %q: %v", g.Scopes, err)
	}
	if g.Subject == "" || (g.Base.IsZero()) != (g.Rule.Map.Base == "") {
		t.Fatalf("got %+v", g)
	}
	for i := 1; i < len(g.Claims); i++ {
		if g.Claims[i-1].Name >= g.Claims[i].Name {
			t.Fatalf("claims are not sorted, or one is there twice: %v", g.Claims)
		}
	}
}

// No text of a rule makes New fall, and a rule that it takes wants an immutable id in full and grants what it says.
func FuzzNew(f *testing.F) {
	f.Add("ci", github, "repository_id", "74", "environment", "production", "web/{environment}", "read:web/{environment}/*", "{repository_id}", false)
	f.Add("k", "https://k8s.example", "/kubernetes.io/serviceaccount/uid", "e6a8", "sub", "system:serviceaccount:apps:*", "", "read:a/**", "x", false)
	f.Add("c", "worker", "sub", "worker", "/a~1b/~0c", "*", "a/{/a~1b/~0c}", "read:{/a~1b/~0c}*", "", true)
	f.Fuzz(func(t *testing.T, name, issuer, id, idValue, other, otherValue, base, scope, label string, assertion bool) {
		r := trust.Rule{
			Name: name, Issuer: issuer, Algorithms: []string{"RS256"}, Audiences: []string{"ours"}, Assertion: assertion,
			Require: map[string][]string{id: {idValue}, other: {otherValue}},
			Map:     trust.Map{Base: base, Scopes: []string{scope}},
		}
		if label != "" {
			r.Map.Labels = map[string]string{"l": label}
		}
		if assertion {
			r.JWKS = "file:a"
		}
		set, err := trust.New([]trust.Rule{r})
		if err != nil {
			var errs trust.Errors
			if !errors.As(err, &errs) || set != nil || len(errs) == 0 {
				t.Fatalf("got %v, %v", set, err)
			}
			return
		}
		pinned := 0
		for _, values := range r.Require {
			if !slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "*") }) {
				pinned++
			}
		}
		if pinned == 0 || strings.HasPrefix(scope, "{") {
			t.Fatalf("taken: %+v", r)
		}
		claims := []strictjson.Member{textMember("aud", "ours"), textMember("jti", "1")}
		for name, values := range r.Require {
			if name != "" && name[0] != '/' {
				claims = append(claims, textMember(name, strings.ReplaceAll(values[0], "*", "x")))
			}
		}
		tok := trust.Token{Issuer: issuer, Algorithm: "RS256", Life: time.Second, Claims: nodeOf(claims...)}
		if g, err := set.Admit(tok); err == nil {
			checkWellFormed(t, g, tok)
		}
	})
}
