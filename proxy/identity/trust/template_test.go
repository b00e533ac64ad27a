package trust_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity/trust"
)

func TestTemplates(t *testing.T) {
	want := []string{"aws", "aws-function-url", "azure", "fly", "github", "gitlab", "google", "key", "kubernetes", "vercel"}
	if got := trust.Templates(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What a template is told wrong, it says, with what it takes.
func TestTemplatesRefuse(t *testing.T) {
	type with = map[string][]string
	vercel := func(change with) with {
		out := with{"team": {"acme"}, "owner_id": {"o"}, "project_id": {"p"}, "environments": {"production"}}
		for k, v := range change {
			out[k] = v
		}
		return out
	}
	for name, tt := range map[string]struct {
		template string
		with     with
		want     string
	}{
		"no template":             {"railway", nil, `template: there is no template "railway"; there are aws, aws-function-url, azure,`},
		"none named":              {"", nil, `template: there is no template ""`},
		"an unknown key":          {"vercel", vercel(with{"projects": {"p"}}), `with.projects: template vercel takes no such key; it takes team, owner_id, project_id, environments, global_issuer, allow_default_audience`},
		"a missing key":           {"fly", with{"org": {"acme"}, "org_id": {"1"}}, `with: template fly needs app_id`},
		"nothing named":           {"vercel", vercel(with{"environments": {}}), `with.environments: names nothing`},
		"a list for a text":       {"vercel", vercel(with{"team": {"a", "b"}}), `with.team: want one value, not a list`},
		"a boolean for a text":    {"vercel", vercel(with{"owner_id": {"true"}}), `with.owner_id: want a text, not true or false`},
		"a text for a boolean":    {"vercel", vercel(with{"allow_default_audience": {"yes"}}), `with.allow_default_audience: want true or false`},
		"a list for a boolean":    {"vercel", vercel(with{"global_issuer": {"true", "true"}}), `with.global_issuer: want one value, not a list`},
		"a team with a slash":     {"vercel", vercel(with{"team": {"acme/../other"}}), `with.team: want a name without spaces, slashes`},
		"any team":                {"vercel", vercel(with{"team": {"*"}}), `with.team: "*" cannot stand here`},
		"an empty text in a list": {"vercel", vercel(with{"project_id": {"p", ""}}), `with.project_id[1]: is empty, too long`},
		"a name for a number":     {"github", with{"owner_id": {"acme"}, "repository_id": {"2", "web"}, "ref": {"refs/heads/main"}}, `with.owner_id: want a number, not a name: names are given to others (the owner's number: gh api users/OWNER --jq .id)`},
		"and in a list":           {"github", with{"owner_id": {"1"}, "repository_id": {"2", "web"}, "ref": {"refs/heads/main"}}, `with.repository_id[1]: want a number, not a name`},
		"any branch":              {"github", with{"owner_id": {"1"}, "repository_id": {"2"}}, `with: template github needs one of environment, ref, workflow: else every branch`},
		"any branch but said":     {"gitlab", with{"project_id": {"1"}, "ref_protected": {"false"}}, `with: template gitlab needs one of environment, ref, ref_protected`},
		"an issuer without TLS":   {"kubernetes", with{"issuer": {"http://k8s.example"}, "namespace": {"a"}, "service_account": {"b"}, "uid": {"c"}}, `with.issuer: want the https URL`},
		"a namespace of stars":    {"kubernetes", with{"issuer": {"https://k8s.example"}, "namespace": {"*"}, "service_account": {"b"}, "uid": {"c"}}, `with.namespace: "*" cannot stand here`},
	} {
		_, err := trust.Template(tt.template, tt.with)
		var errs trust.Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}

// What configuration says beside a template adds to it, and changes nothing of it.
func TestExtend(t *testing.T) {
	made, err := trust.Template("vercel", map[string][]string{"team": {"acme"}, "owner_id": {"o"}, "project_id": {"p"}, "environments": {"production"}, "allow_default_audience": {"true"}})
	if err != nil {
		t.Fatal(err)
	}
	own := trust.Rule{
		Name: "web", Audiences: []string{"ours"}, Algorithms: []string{"ES256"}, Require: map[string][]string{"plan": {"pro"}}, Forbid: []string{"act"},
		JWKSURI: "https://mirror.example/jwks", MaxTTL: time.Minute, Map: trust.Map{Scopes: []string{"read:a"}},
	}
	got, err := made.Extend(own)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "web" || got.Template != "vercel" || got.Issuer != "https://oidc.vercel.com/acme" || got.JWKSURI != own.JWKSURI || got.MaxTTL != time.Minute || !slices.Equal(got.Algorithms, own.Algorithms) {
		t.Errorf("got %+v", got)
	}
	if !slices.Equal(got.Audiences, []string{"ours", "https://vercel.com/acme"}) || !got.SharedAudience {
		t.Errorf("audiences: got %q, shared %v", got.Audiences, got.SharedAudience)
	}
	if len(got.Require) != 4 || len(made.Require) != 3 || !slices.Equal(got.Forbid, own.Forbid) {
		t.Errorf("require: got %v, made %v", got.Require, made.Require)
	}
	own.Issuer, own.Require = "https://other.example", map[string][]string{"environment": {"preview"}}
	_, err = made.Extend(own)
	for _, want := range []string{"issuer: template vercel says which issuer", "require.environment: template vercel fixes this claim already"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	// What was told too wide is said of where it was told.
	made, err = trust.Template("github", map[string][]string{"owner_id": {"1"}, "repository_id": {"2", "3*"}, "ref": {"refs/heads/main"}})
	if err != nil {
		t.Fatal(err)
	}
	if made, err = made.Extend(trust.Rule{Name: "ci", Audiences: []string{"ours"}, Map: trust.Map{Scopes: []string{"read:a"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err = trust.New([]trust.Rule{made}); err == nil || !strings.Contains(err.Error(), `with.repository_id[1]: "*" stands for one whole segment`) {
		t.Errorf("got %v", err)
	}
}
