package trust_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

const (
	github  = "https://token.actions.githubusercontent.com"
	account = "/https:~1~1sts.amazonaws.com~1/aws_account"
)

// good is a rule that nothing is wrong with.
func good() trust.Rule {
	return trust.Rule{
		Name: "ci", Issuer: github, Algorithms: []string{"RS256"}, Audiences: []string{"https://keyhole.example"},
		Require: map[string][]string{"repository_id": {"74"}, "environment": {"production"}},
		Map:     trust.Map{Base: "web/{environment}", Scopes: []string{"read:web/{environment}/*"}},
	}
}

// Each line is one thing changed in a good rule, and what is said of it: where, and enough words to see why.
func TestRulesThatAreRefused(t *testing.T) {
	require := func(claims map[string][]string) func(*trust.Rule) {
		return func(r *trust.Rule) { r.Require, r.Map = claims, trust.Map{Scopes: []string{"read:a"}} }
	}
	at := func(issuer string, claims map[string][]string) func(*trust.Rule) {
		return func(r *trust.Rule) { require(claims)(r); r.Issuer = issuer }
	}
	scope := func(scopes ...string) func(*trust.Rule) { return func(r *trust.Rule) { r.Map.Scopes = scopes } }
	for name, tt := range map[string]struct {
		change func(*trust.Rule)
		want   string
	}{
		"our own name":            {func(r *trust.Rule) { r.Name = "local" }, `trust rule "local": name: "local" is the name of`},
		"project tokens' name":    {func(r *trust.Rule) { r.Name = "project" }, `name: "project" is the name of project tokens`},
		"hooks' name":             {func(r *trust.Rule) { r.Name = "hook" }, `name: "hook" is the name of what hooks sign`},
		"notices' name":           {func(r *trust.Rule) { r.Name = "event" }, `name: "event" is the name of what a platform tells`},
		"a name with a space":     {func(r *trust.Rule) { r.Name = "a b" }, `name: want a name`},
		"no TLS":                  {func(r *trust.Rule) { r.Issuer = "http://id.example" }, `issuer: want the https URL`},
		"a query":                 {func(r *trust.Rule) { r.Issuer = "https://id.example?a" }, `issuer: want the https URL`},
		"keys without TLS":        {func(r *trust.Rule) { r.JWKSURI = "http://id.example/jwks" }, `jwks_uri: want an https URL`},
		"no algorithm":            {func(r *trust.Rule) { r.Algorithms = nil }, `algs: names no algorithm`},
		"a symmetric one":         {func(r *trust.Rule) { r.Algorithms = []string{"RS256", "HS256"} }, `algs[1]: "HS256" is none of`},
		"no audience":             {func(r *trust.Rule) { r.Audiences = nil }, `audiences: is needed: a token that is meant for another service`},
		"any audience":            {func(r *trust.Rule) { r.Audiences = []string{"*"} }, `audiences[0]: an audience is compared to the letter`},
		"a negative life":         {func(r *trust.Rule) { r.MaxTTL = -1 }, `max_ttl: want a duration above 0`},
		"nothing required":        {require(nil), `require: takes tokens of strangers: ` + github + ` signs for everybody`},
		"names alone":             {require(map[string][]string{"repository": {"acme/web"}}), `repository is none: names are given to others`},
		"a subject of names":      {require(map[string][]string{"sub": {"repo:acme/web:ref:refs/heads/main"}}), `sub is none: without the ids of owner and repository`},
		"half a new subject":      {require(map[string][]string{"sub": {"repo:acme@12/web:ref:refs/heads/main"}}), `sub is none`},
		"two subjects, one":       {require(map[string][]string{"sub": {"repo:acme@1/web@2:ref:a", "repo:acme/web:ref:a"}}), `sub is none`},
		"an id that is wild":      {require(map[string][]string{"repository_id": {"*"}}), `require: takes tokens of strangers: ` + github + ` signs for everybody who has an account there. needs an immutable id with its values written out, one of repository_id, repository_owner_id, enterprise_id, sub; repository_id has a "*" in its values`},
		"who started it":          {require(map[string][]string{"actor_id": {"12"}}), `actor_id is none: it says who started the run`},
		"part of a segment":       {require(map[string][]string{"repository_id": {"74"}, "sub": {"repo:acme/*:ref:refs/heads/main"}}), `require.sub[0]: "*" stands for one whole segment between colons, and "acme/*" is only part of one`},
		"two stars":               {require(map[string][]string{"repository_id": {"74"}, "ref": {"**"}}), `require.ref[0]: "*" stands for one whole segment`},
		"a pattern too wide":      {require(map[string][]string{"repository_id": {"74"}, "sub": {"repo:*:*"}}), `require.sub[0]: "repo:*:*" is too wide: next to "*" it fixes only 1 of 3 segments`},
		"a pattern of stars":      {require(map[string][]string{"repository_id": {"74"}, "sub": {"*:*"}}), `require.sub[0]: "*:*" is too wide`},
		"a star first":            {require(map[string][]string{"repository_id": {"74"}, "sub": {"*:acme:web"}}), `require.sub[0]: "*:acme:web" is too wide`},
		"an empty value":          {require(map[string][]string{"repository_id": {"74", ""}}), `require.repository_id[1]: want a value of 1 to 512 bytes`},
		"no value":                {require(map[string][]string{"repository_id": {"74"}, "ref": {}}), `require.ref: allows no value at all`},
		"the issuer as claim":     {require(map[string][]string{"repository_id": {"74"}, "iss": {github}}), `require.iss: say which issuer with issuer`},
		"the token's id":          {require(map[string][]string{"repository_id": {"74"}, "jti": {"1"}}), `require.jti: every token has another`},
		"a broken pointer":        {require(map[string][]string{"repository_id": {"74"}, "/a//b": {"1"}}), `require./a//b: a JSON pointer with an empty name`},
		"a broken escape":         {require(map[string][]string{"repository_id": {"74"}, "/a~2b": {"1"}}), `in a JSON pointer "~" is written ~0`},
		"required, forbidden":     {func(r *trust.Rule) { r.Forbid = []string{"environment"} }, `require.environment: is required and forbidden`},
		"the audience, no":        {func(r *trust.Rule) { r.Forbid = []string{"aud"} }, `forbid[0]: say which audience with audiences`},
		"Google, an address":      {at("https://accounts.google.com", map[string][]string{"email": {"a@b.iam.gserviceaccount.com"}}), `takes tokens of strangers: https://accounts.google.com signs for everybody`},
		"Google, a domain":        {at("https://accounts.google.com", map[string][]string{"hd": {"acme.com"}}), `hd is none: it says that somebody is of a domain`},
		"a GitHub of one's own":   {at("https://github.example/_services/token", map[string][]string{"sub": {"repo:acme/web:ref:refs/heads/main"}}), `sub is none: without the ids of owner and repository`},
		"its owner by name":       {at("https://github.example/_services/token", map[string][]string{"repository_owner": {"acme"}, "run_id": {"1"}}), `repository_owner is none: names are given to others`},
		"who started it there":    {at("https://token.actions.acme.ghe.com", map[string][]string{"actor_id": {"1"}}), `actor_id is none`},
		"GitHub in other letters": {at("https://Token.Actions.GitHubUserContent.com", map[string][]string{"actor_id": {"1"}}), `actor_id is none`},
		"a GitLab of one's own":   {at("https://gitlab.example", map[string][]string{"sub": {"project_path:acme/web:ref_type:branch:ref:main"}}), `sub is none: it names the project by its path`},
		"its users":               {at("https://gitlab.example", map[string][]string{"project_path": {"acme/web"}, "user_id": {"5"}}), `project_path is none: paths are given to others after a rename; use project_id; user_id is none`},
		"AWS's tags elsewhere":    {at("https://id.example", map[string][]string{"sub": {"a"}, "/https:~1~1sts.amazonaws.com~1/request_tags/team": {"a"}}), `whoever asks for the token chooses what this says`},
		"GitLab.com, a path":      {at("https://gitlab.com", map[string][]string{"project_path": {"a/b"}}), `takes tokens of strangers: https://gitlab.com`},
		"GitLab.com, a user":      {at("https://gitlab.com", map[string][]string{"user_id": {"1"}}), `user_id is none`},
		"Vercel, a slug":          {at("https://oidc.vercel.com", map[string][]string{"owner": {"acme"}, "environment": {"production"}}), `takes tokens of strangers: https://oidc.vercel.com`},
		"Vercel, everywhere":      {at("https://oidc.vercel.com/acme", map[string][]string{"project_id": {"prj_1"}}), `require: must name environment: without it tokens of development and preview would do`},
		"Vercel, any":             {at("https://oidc.vercel.com/acme", map[string][]string{"project_id": {"prj_1"}, "environment": {"*"}}), `require.environment: "*" would take every environment, development too`},
		"Vercel, all the same":    {at("https://oidc.vercel.com/acme", map[string][]string{"project_id": {"prj_1"}, "environment": {"production", "preview"}}), `map.scope[0]: gives every environment of the rule the same: write {environment} into it`},
		"Azure, everybody":        {at("https://login.microsoftonline.com/common/v2.0", map[string][]string{"oid": {"o"}}), `issuer: no token has this iss`},
		"Azure, an app's users":   {at("https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", map[string][]string{"azp": {"a"}}), `signs for everybody who has an account there. needs an immutable id with its values written out, one of oid, sub; azp is none: everybody who signs in to the application has it`},
		"Azure, a tenant":         {at("https://login.microsoftonline.com/t/v2.0", map[string][]string{"tid": {"t"}}), `tid is none: every identity of the tenant has it`},
		"AWS, a role":             {at("https://u.tokens.sts.global.api.aws", map[string][]string{"sub": {"arn:aws:iam::123456789012:role/a"}}), `sub is none: the name of a role is given to another`},
		"AWS, a tag":              {at("https://u.tokens.sts.global.api.aws", map[string][]string{account: {"1"}, "/https:~1~1sts.amazonaws.com~1/request_tags/team": {"a"}}), `whoever asks for the token chooses what this says`},
		"AWS, all tags":           {at("https://u.tokens.sts.global.api.aws", map[string][]string{account: {"1"}, "/https:~1~1sts.amazonaws.com~1/request_tags": {"a"}}), `whoever asks for the token chooses what this says`},
		"a service account":       {at("https://k8s.example", map[string][]string{"sub": {"system:serviceaccount:apps:web"}}), `sub is none: whoever may create a service account of that name again has it`},
		"elsewhere, a name":       {at("https://id.example", map[string][]string{"name": {"web"}}), `require: needs an immutable id with its values written out, one of sub`},
		"Vercel's audience": {func(r *trust.Rule) {
			at("https://oidc.vercel.com/acme", map[string][]string{"project_id": {"p"}, "environment": {"production"}})(r)
			r.Audiences = []string{"https://vercel.com/acme"}
		}, `audiences[0]: all services that a team of vercel gives its tokens to share this audience`},
		"no scope":             {scope(), `map.scope: 0 scopes; want 1 to 32`},
		"no such action":       {scope("fly:web"), `map.scope[0]: invalid scope: action "fly"`},
		"an action to fill in": {scope("{environment}:web/a"), `map.scope[0]: invalid scope: action "x"`},
		"an unknown place":     {scope("read:web/a", "read:{ref}/*"), `map.scope[1]: {ref}: the rule does not require this claim`},
		"an open brace":        {scope("read:web/{environment/*"), `map.scope[0]: want {CLAIM}`},
		"a closing brace":      {scope("read:web/environment}/*"), `map.scope[0]: want {CLAIM}`},
		"an empty place":       {scope("read:web/{}/*"), `map.scope[0]: want {CLAIM}`},
		"a base that is none":  {func(r *trust.Rule) { r.Map.Base = "/web" }, `map.base: invalid path`},
		"a beginning": {func(r *trust.Rule) {
			r.Require["environment"] = []string{"prod", "production"}
			r.Map.Scopes = []string{"read:web/{environment}/*", "read:apps/{environment}*"}
		}, `map.scope[1]: {environment}: what it gives for "prod" takes in what it gives for "production"`},
		"a beginning with a text behind": {func(r *trust.Rule) {
			r.Require["environment"] = []string{"a-b", "a"}
			r.Map.Scopes = []string{"read:web/{environment}-*/a"}
		}, `map.scope[0]: {environment}: what it gives for "a" takes in what it gives for "a-b"`},
		"any beginning": {func(r *trust.Rule) {
			r.Require["environment"] = []string{"*"}
			r.Map.Scopes = []string{"read:web/{environment}*"}
		}, `map.scope[0]: {environment} has to fill its segment to the end, as in {environment}/*`},
		"two that run into one": {func(r *trust.Rule) {
			r.Require["environment"], r.Require["ref"] = []string{"*"}, []string{"*"}
			r.Map.Scopes = []string{"read:web/{environment}{ref}/*"}
		}, `map.scope[0]: {environment} has to fill its segment`},
		"a value with a slash":       {func(r *trust.Rule) { r.Require["environment"] = []string{"production", "a/b"} }, `map.scope[0]: a token with it would be refused: the value "a/b" of claim environment cannot stand in a path`},
		"a value that goes up":       {func(r *trust.Rule) { r.Require["environment"] = []string{".."} }, `map.base: a token with it would be refused: the value ".."`},
		"a value with colons":        {func(r *trust.Rule) { r.Require["environment"] = []string{"a:b:*"} }, `map.base: a token with it would be refused: the value "a:b:*"`},
		"a label's name":             {func(r *trust.Rule) { r.Map.Labels = map[string]string{"a b": "c"} }, `map.labels.a b: want a name of letters`},
		"a label's value":            {func(r *trust.Rule) { r.Map.Labels = map[string]string{"a": "\n"} }, `map.labels.a: want a value of 1 to 256 bytes`},
		"labels that differ in case": {func(r *trust.Rule) { r.Map.Labels = map[string]string{"team": "a", "Team": "b"} }, `map.labels.team: is "Team" but for the case`},
		"a label's place":            {func(r *trust.Rule) { r.Map.Labels = map[string]string{"a": "{ref}"} }, `map.labels.a: {ref}: the rule does not require this claim`},
		"an assertion's life":        {func(r *trust.Rule) { *r = assertion(); r.MaxTTL = 61 * time.Second }, `max_ttl: want a duration above 0; an assertion lives 1m0s at most`},
		"an assertion's keys":        {func(r *trust.Rule) { *r = assertion(); r.JWKS = "" }, `jwks: is needed: a client has no place on the network`},
		"an assertion's place":       {func(r *trust.Rule) { *r = assertion(); r.JWKSURI = "https://a.example" }, `template: is for a platform`},
		"a client as issuer":         {func(r *trust.Rule) { *r = assertion(); r.Issuer = github }, `issuer: want a client_id without`},
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			tt.change(&r)
			set, err := trust.New([]trust.Rule{r})
			var errs trust.Errors
			if set != nil || !errors.As(err, &errs) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
	mustSet(t, good(), assertion())
}

func assertion() trust.Rule {
	return trust.Rule{
		Name: "worker", Issuer: "worker", JWKS: "file:worker.json", Algorithms: []string{"EdDSA"}, Audiences: []string{"https://keyhole.example"}, Assertion: true,
		Require: map[string][]string{"sub": {"worker"}}, Map: trust.Map{Scopes: []string{"read:worker/*"}},
	}
}

// Rules that look odd and are right.
func TestRulesThatAreTaken(t *testing.T) {
	for name, change := range map[string]func(*trust.Rule){
		"any repository of an owner": func(r *trust.Rule) {
			r.Require = map[string][]string{"repository_owner_id": {"65"}, "repository_id": {"*"}}
			r.Map = trust.Map{Scopes: []string{"read:repos/{repository_id}/*"}}
		},
		"a subject with ids": func(r *trust.Rule) {
			r.Require = map[string][]string{"sub": {"repo:acme@1/web@2:environment:production"}}
			r.Map = trust.Map{Scopes: []string{"read:web/*"}}
		},
		"a subject by segments": func(r *trust.Rule) {
			r.Require["sub"] = []string{"repo:acme/web:*:*", "repo:acme/web:pull_request"}
		},
		"a whole star": func(r *trust.Rule) { r.Map.Scopes = []string{"read:**"} },
	} {
		r := good()
		change(&r)
		if _, err := trust.New([]trust.Rule{r}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := mustSet(t); s.Len() != 0 || len(s.Issuers()) != 0 {
		t.Error("no rules make something")
	}
}

// Names are of one rule each, and what is said of an issuer's keys is one thing.
func TestRulesThatDisagree(t *testing.T) {
	other := func(change func(*trust.Rule)) trust.Rule {
		r := good()
		r.Name = "other"
		change(&r)
		return r
	}
	first := good()
	first.JWKSURI, first.JWKS, first.CA = "https://a.example/jwks", "file:a.json", "file:a.pem"
	for name, tt := range map[string]struct {
		rule trust.Rule
		want string
	}{
		"one name":    {other(func(r *trust.Rule) { r.Name = "ci" }), `trust rule "ci": name: rule 1 of the list has the same name`},
		"two places":  {other(func(r *trust.Rule) { r.JWKSURI = "https://b.example/jwks" }), `trust rule "other": jwks_uri: another rule of this issuer says "https://a.example/jwks"`},
		"two files":   {other(func(r *trust.Rule) { r.JWKS = "file:b.json" }), `jwks: another rule of this issuer says "file:a.json"`},
		"two CAs":     {other(func(r *trust.Rule) { r.CA = "file:b.pem" }), `ca: another rule of this issuer says "file:a.pem"`},
		"two clients": {func() trust.Rule { r := assertion(); r.JWKS = "file:other.json"; r.Name = "other"; return r }(), `trust rule "other": jwks: another rule of this issuer says "file:worker.json"`},
	} {
		_, err := trust.New([]trust.Rule{first, assertion(), tt.rule})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
		var one *trust.Error
		if errors.As(err, &one) && one.Index != 2 {
			t.Errorf("%s: said of rule %d", name, one.Index)
		}
	}
	set := mustSet(t, first, other(func(r *trust.Rule) { r.Algorithms, r.AllowPrivate = []string{"ES256"}, true }))
	got := set.Issuers()
	if len(got) != 1 || got[0].JWKSURI != first.JWKSURI || got[0].JWKS != first.JWKS || got[0].CA != first.CA || !got[0].AllowPrivate || strings.Join(got[0].Algorithms, " ") != "ES256 RS256" {
		t.Errorf("issuers: got %+v", got)
	}
}
