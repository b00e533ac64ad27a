package trust_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// fixture is a file of testdata/tokens: a rule as configuration writes it, and a payload as the platform writes it.
type fixture struct {
	Template string
	With     map[string]any
	Rule     struct {
		Issuer  string
		Algs    []string
		Require map[string][]string
		Forbid  []string
	}
	JWKS      string
	Audiences []string
	Map       struct {
		Base   string
		Scope  []string
		Labels map[string]string
	}
	Alg    string
	Claims map[string]any
	Grant  struct {
		Base, Scope string
		Claims      map[string]string
	}
	Taken, Refused []change
}

// change is what a case does to the token.
type change struct {
	Name   string
	Alg    string
	Set    map[string]any
	Remove []string
	Scope  string // of a token that is taken
	Check  string // of one that is not
}

func readFixtures(t testing.TB) map[string]*fixture {
	t.Helper()
	names, err := filepath.Glob("testdata/tokens/*.json")
	if err != nil || len(names) < 12 {
		t.Fatalf("%d fixtures, %v", len(names), err)
	}
	out := make(map[string]*fixture)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		d.DisallowUnknownFields()
		if err := d.Decode(f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[strings.TrimSuffix(filepath.Base(name), ".json")] = f
	}
	return out
}

// rule is the fixture's rule under a name.
func (f *fixture) rule(t testing.TB, name string) trust.Rule {
	t.Helper()
	own := trust.Rule{
		Name: name, Issuer: f.Rule.Issuer, Algorithms: f.Rule.Algs, Require: f.Rule.Require, Forbid: f.Rule.Forbid,
		JWKS: f.JWKS, Audiences: f.Audiences, Map: trust.Map{Base: f.Map.Base, Scopes: f.Map.Scope, Labels: f.Map.Labels},
	}
	if f.Template == "" {
		return own
	}
	with := make(map[string][]string)
	for key, v := range f.With {
		switch v := v.(type) {
		case string:
			with[key] = []string{v}
		case bool:
			with[key] = []string{map[bool]string{true: "true", false: "false"}[v]}
		case []any:
			for _, s := range v {
				with[key] = append(with[key], s.(string))
			}
		}
	}
	made, err := trust.Template(f.Template, with)
	if err != nil {
		t.Fatal(err)
	}
	if made, err = made.Extend(own); err != nil {
		t.Fatal(err)
	}
	return made
}

func mustSet(t testing.TB, rules ...trust.Rule) *trust.Set {
	t.Helper()
	s, err := trust.New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// token is the fixture's token with a change made to it.
func (f *fixture) token(t testing.TB, c change) trust.Token {
	t.Helper()
	text, err := json.Marshal(f.Claims)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	for _, at := range c.Remove {
		in, name := parent(t, claims, at)
		if _, ok := in[name]; !ok {
			t.Fatalf("%s: there is no %s to remove", c.Name, at)
		}
		delete(in, name)
	}
	for at, v := range c.Set {
		in, name := parent(t, claims, at)
		in[name] = v
	}
	alg := f.Alg
	if c.Alg != "" {
		alg = c.Alg
	}
	return tokenOf(t, alg, claims)
}

func tokenOf(t testing.TB, alg string, claims map[string]any) trust.Token {
	t.Helper()
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strictjson.Parse(text, strictjson.Limits{Bytes: 8 << 10, Depth: 8, Nodes: 1024})
	if err != nil {
		t.Fatal(err)
	}
	exp, _ := n.Get("exp").Int64()
	iat, _ := n.Get("iat").Int64()
	iss, _ := n.Get("iss").Str()
	return trust.Token{Issuer: iss, Algorithm: alg, Claims: n, Life: time.Duration(exp-iat) * time.Second}
}

// parent finds the object that a name or a JSON pointer is in.
func parent(t testing.TB, claims map[string]any, at string) (map[string]any, string) {
	t.Helper()
	if at[0] != '/' {
		return claims, at
	}
	steps := strings.Split(at[1:], "/")
	for i := range steps {
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(steps[i])
	}
	for _, s := range steps[:len(steps)-1] {
		next, ok := claims[s].(map[string]any)
		if !ok {
			t.Fatalf("%s leads nowhere", at)
		}
		claims = next
	}
	return claims, steps[len(steps)-1]
}

// Each platform's own token is taken by its template and refused when one thing is another.
func TestTokensOfPlatforms(t *testing.T) {
	templates := make(map[string]bool)
	for name, f := range readFixtures(t) {
		templates[f.Template] = true
		t.Run(name, func(t *testing.T) {
			set := mustSet(t, f.rule(t, name))
			tok := f.token(t, change{})
			g, err := set.Admit(tok)
			if err != nil {
				t.Fatalf("%v\n%+v", err, set.Explain(tok))
			}
			checkGrant(t, f, g, name)
			for _, c := range f.Taken {
				g, err := set.Admit(f.token(t, c))
				if err != nil || g.Scopes.String() != c.Scope {
					t.Errorf("%s: got %+v, %v; want %s", c.Name, g, err, c.Scope)
				}
			}
			if len(f.Refused) == 0 {
				t.Error("nothing is refused")
			}
			for _, c := range f.Refused {
				checkRefused(t, set, f.token(t, c), c)
			}
		})
	}
	for _, name := range trust.Templates() {
		if !templates[name] && name != "aws-function-url" { // whose callers bring none
			t.Errorf("template %s has no token", name)
		}
	}
}

func checkGrant(t *testing.T, f *fixture, g *trust.Grant, name string) {
	t.Helper()
	if sub, _ := f.Claims["sub"].(string); g.Subject != sub || g.Rule.Name != name {
		t.Errorf("subject %q by rule %q, want %q by %q", g.Subject, g.Rule.Name, sub, name)
	}
	if g.Base.String() != f.Grant.Base || g.Scopes.String() != f.Grant.Scope {
		t.Errorf("base %q, scope %q; want %q, %q", g.Base, g.Scopes, f.Grant.Base, f.Grant.Scope)
	}
	if !slices.IsSortedFunc(g.Claims, func(a, b policy.Pair) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("claims are not sorted: %v", g.Claims)
	}
	for claim, want := range f.Grant.Claims {
		if got, ok := policy.Lookup(g.Claims, claim); !ok || got != want {
			t.Errorf("claim %s: got %q, %v; want %q", claim, got, ok, want)
		}
	}
	for _, p := range g.Claims {
		if slices.Contains([]string{"iss", "sub", "aud", "jti"}, p.Name) || strings.Contains(p.Name, "request_tags") {
			t.Errorf("policies see %s", p.Name)
		}
	}
}

func checkRefused(t *testing.T, set *trust.Set, tok trust.Token, c change) {
	t.Helper()
	found := set.Explain(tok)[0]
	if found.Taken || found.Check != c.Check || found.Reason == "" {
		t.Errorf("%s: explained as %v, %q, %q; want check %q", c.Name, found.Taken, found.Check, found.Reason, c.Check)
	}
	if g, err := set.Admit(tok); err == nil {
		t.Errorf("%s: admitted as %+v", c.Name, g)
	}
}

// nodeOf is a payload made without a trip through JSON, so that it may hold what no parser lets through.
func nodeOf(members ...strictjson.Member) *strictjson.Node {
	return &strictjson.Node{Kind: strictjson.Object, Members: members}
}

func textMember(name, value string) strictjson.Member {
	return strictjson.Member{Name: name, Value: strictjson.Node{Kind: strictjson.String, Text: []byte(value)}}
}

// tokenFor is a token whose environment is any text at all.
func tokenFor(environment string) trust.Token {
	return trust.Token{Issuer: github, Algorithm: "RS256", Life: time.Minute, Claims: nodeOf(
		textMember("sub", "repo:acme/web:environment:production"), textMember("aud", "https://keyhole.example"),
		textMember("repository_id", "74"), textMember("environment", environment),
	)}
}
