package oidcemu

import (
	"maps"
	"time"
)

// Platform is what one platform's tokens look like, and the rule that takes this one.
type Platform struct {
	Template   string
	With       string // of the rule, YAML in flow style
	Issuer     string
	Subject    string
	Algorithm  string
	Typ        string         // "" where the platform leaves it out
	Thumbprint string         // x5t, "" where the platform leaves it out
	Claims     map[string]any // but for the times; nbf is there where the platform has it
	// Stranger is claims of another customer of the platform: the rule must not take them.
	Stranger map[string]any
}

// Token is one that the platform would give out now.
func (p *Platform) Token(k *Key, now time.Time) string { return p.token(k, now, nil) }

// StrangersToken is one that it would give to another customer.
func (p *Platform) StrangersToken(k *Key, now time.Time) string { return p.token(k, now, p.Stranger) }

func (p *Platform) token(k *Key, now time.Time, other map[string]any) string {
	claims := map[string]any{"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(claims, p.Claims)
	maps.Copy(claims, other)
	if _, has := claims["nbf"]; has {
		claims["nbf"] = now.Add(-time.Minute).Unix()
	}
	header := map[string]any{"alg": k.Algorithm, "kid": k.ID}
	if p.Typ != "" {
		header["typ"] = p.Typ
	}
	if p.Thumbprint != "" {
		header["x5t"] = p.Thumbprint
	}
	return k.SignText(text(header), text(claims))
}

// Platforms is a token of each platform that has a template, as its documentation shows it, for this audience.
func Platforms(audience string) []Platform {
	return []Platform{
		{
			Template: "vercel", With: `{team: acme, owner_id: team_7Gw5ZMzpQA8h90F832KGp7nw, project_id: prj_7Gw5ZMBvQA8h9gF832KG, environments: [production]}`,
			Issuer: "https://oidc.vercel.com/acme", Subject: "owner:acme:project:web:environment:production", Algorithm: "RS256", Typ: "JWT",
			Claims: map[string]any{
				"iss": "https://oidc.vercel.com/acme", "aud": audience, "nbf": 0,
				"sub": "owner:acme:project:web:environment:production", "scope": "owner:acme:project:web:environment:production",
				"owner": "acme", "owner_id": "team_7Gw5ZMzpQA8h90F832KGp7nw", "plan": "pro",
				"project": "web", "project_id": "prj_7Gw5ZMBvQA8h9gF832KG", "environment": "production",
			},
			Stranger: map[string]any{"environment": "preview", "sub": "owner:acme:project:web:environment:preview"},
		},
		{
			Template: "github", With: `{owner_id: "65", repository_id: "74", environment: production}`,
			Issuer: "https://token.actions.githubusercontent.com", Subject: "repo:octo-org/octo-repo:environment:production", Algorithm: "RS256", Typ: "JWT", Thumbprint: "ykNaY4qM_ta4k2TgZOCEYLkcYlA",
			Claims: map[string]any{
				"iss": "https://token.actions.githubusercontent.com", "aud": audience, "nbf": 0, "jti": "0f5d4c3b-2a1e-4f6d-9c8b-7a6e5d4c3b2a",
				"sub": "repo:octo-org/octo-repo:environment:production", "environment": "production", "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
				"sha": "da39a3ee5e6b4b0d3255bfef95601890afd80709", "repository": "octo-org/octo-repo", "repository_id": "74", "repository_owner": "octo-org", "repository_owner_id": "65",
				"repository_visibility": "private", "actor": "octocat", "actor_id": "12", "workflow": "deploy", "head_ref": "", "base_ref": "", "event_name": "push", "run_id": "9", "run_number": "10", "run_attempt": "2", "runner_environment": "github-hosted",
				"workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main", "job_workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
			},
			Stranger: map[string]any{"repository_id": "75"}, // of the same name, after a rename
		},
		{
			Template: "gitlab", With: `{project_id: "22", ref_protected: true}`,
			Issuer: "https://gitlab.com", Subject: "project_path:shop/web:ref_type:branch:ref:main", Algorithm: "RS256", Typ: "JWT",
			Claims: map[string]any{
				"iss": "https://gitlab.com", "aud": audience, "nbf": 0, "jti": "f1d2d2f9-24e9-86ac-86fd-f7b36c94bcdf",
				"sub": "project_path:shop/web:ref_type:branch:ref:main", "namespace_id": "72", "namespace_path": "shop", "project_id": "22", "project_path": "shop/web",
				"user_id": "42", "user_login": "jane", "user_identities": []any{map[string]any{"provider": "github", "extern_uid": "2435223452345"}}, "pipeline_id": "1212", "pipeline_source": "push", "job_id": "1212",
				"ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true", "runner_id": 1, "runner_environment": "gitlab-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
			},
			Stranger: map[string]any{"ref_protected": "false", "ref": "feature"},
		},
		{
			Template:  "aws",
			With:      `{issuer: "https://2f8d1c3e-0000-4000-8000-123456789abc.tokens.sts.global.api.aws", account: "123456789012", role: "arn:aws:iam::123456789012:role/web"}`,
			Issuer:    "https://2f8d1c3e-0000-4000-8000-123456789abc.tokens.sts.global.api.aws",
			Subject:   "arn:aws:iam::123456789012:role/web",
			Algorithm: "ES384", Typ: "JWT",
			Claims: map[string]any{
				"iss": "https://2f8d1c3e-0000-4000-8000-123456789abc.tokens.sts.global.api.aws", "aud": audience, "jti": "6ec0a1f1-8a3e-4d5f-b1f3-3f0b6d1f7c11",
				"sub": "arn:aws:iam::123456789012:role/web",
				"https://sts.amazonaws.com/": map[string]any{
					"aws_account": "123456789012", "source_region": "eu-west-1", "org_id": "o-abc1234567", "ou_path": []any{"o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"},
					"principal_tags": map[string]any{"team": "payments"}, "lambda_source_function_arn": "arn:aws:lambda:eu-west-1:123456789012:function:web", "request_tags": map[string]any{"role": "admin"},
				},
			},
			Stranger: map[string]any{"aud": []string{audience}}, // the platform writes one audience as a string
		},
		{
			Template: "kubernetes", With: `{issuer: "https://kubernetes.default.svc.cluster.local", namespace: shop, service_account: web, uid: "ed1e7b1c-5c9a-4b2f-9d3e-1f6f1f6a7b8c"}`,
			Issuer: "https://kubernetes.default.svc.cluster.local", Subject: "system:serviceaccount:shop:web", Algorithm: "RS256",
			Claims: map[string]any{
				"iss": "https://kubernetes.default.svc.cluster.local", "aud": []string{audience}, "nbf": 0, "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
				"sub": "system:serviceaccount:shop:web",
				"kubernetes.io": map[string]any{
					"namespace": "shop", "node": map[string]any{"name": "n1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"}, "pod": map[string]any{"name": "web-0", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
					"serviceaccount": map[string]any{"name": "web", "uid": "ed1e7b1c-5c9a-4b2f-9d3e-1f6f1f6a7b8c"}, "warnafter": 1795255201,
				},
			},
			Stranger: map[string]any{"kubernetes.io": map[string]any{ // made again under the name
				"namespace": "shop", "serviceaccount": map[string]any{"name": "web", "uid": "00000000-5c9a-4b2f-9d3e-1f6f1f6a7b8c"},
			}},
		},
		{
			Template: "fly", With: `{org: acme, org_id: "29873298", app_id: "1869612"}`,
			Issuer: "https://oidc.fly.io/acme", Subject: "acme:web:machine-1", Algorithm: "RS256", Typ: "JWT",
			Claims: map[string]any{
				"iss": "https://oidc.fly.io/acme", "aud": audience, "nbf": 0, "jti": "4ad1d9b1-3f3c-4d9c-8f2b-6ef8b0b3a0f5", "sub": "acme:web:machine-1",
				"app_id": "1869612", "app_name": "web", "org_id": "29873298", "org_name": "acme", "image": "registry.fly.io/web:deployment-01", "image_digest": "sha256:3fdb0e2e3b1f",
				"machine_id": "3d8d377ce9e398", "machine_name": "machine-1", "machine_version": "01HZ", "region": "lhr",
			},
			Stranger: map[string]any{"app_id": "1869613"},
		},
		{
			Template: "google", With: `{unique_id: "112010400000000710080"}`,
			Issuer: "https://accounts.google.com", Subject: "112010400000000710080", Algorithm: "RS256", Typ: "JWT",
			Claims: map[string]any{ // neither nbf nor jti
				"iss": "https://accounts.google.com", "aud": audience, "sub": "112010400000000710080", "azp": "112010400000000710080",
				"email": "web@shop.iam.gserviceaccount.com", "email_verified": true,
				"google": map[string]any{"compute_engine": map[string]any{"project_id": "shop", "project_number": 739419398126, "zone": "us-central1-a", "instance_id": "152986662232938449", "instance_name": "web", "instance_creation_timestamp": 1552951069}},
			},
			Stranger: map[string]any{"sub": "112010400000000710081"},
		},
		{
			Template: "azure", With: `{tenant_id: "6babcaad-604b-40ac-a9d7-9fd97c0b779f", object_id: "690222be-ff1a-4d56-abd1-7e4f7d38e474"}`,
			Issuer: "https://login.microsoftonline.com/6babcaad-604b-40ac-a9d7-9fd97c0b779f/v2.0", Subject: "690222be-ff1a-4d56-abd1-7e4f7d38e474", Algorithm: "RS256", Typ: "JWT", Thumbprint: "nOo3ZDrODXEK1jKWhXslHR_KXEg",
			Claims: map[string]any{
				"iss": "https://login.microsoftonline.com/6babcaad-604b-40ac-a9d7-9fd97c0b779f/v2.0", "aud": audience, "nbf": 0,
				"aio": "E2ZgYLjO8bzn", "azp": "0e76bf62-8f83-4bc5-b7b7-ebd8f3d3d8a1", "azpacr": "2", "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474", "rh": "0.AXoAr", "sub": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
				"tid": "6babcaad-604b-40ac-a9d7-9fd97c0b779f", "uti": "bZ3g7Y0PskqW1Kgd", "ver": "2.0",
			},
			Stranger: map[string]any{"oid": "690222be-0000-4d56-abd1-7e4f7d38e474", "sub": "690222be-0000-4d56-abd1-7e4f7d38e474"},
		},
	}
}
