package trust

import (
	"sync"
	"time"
)

const (
	awsClaims = "/https:~1~1sts.amazonaws.com~1"
	podClaims = "/kubernetes.io"
)

// platforms is every platform that is known, which nobody changes. The last knows nothing special, and has every issuer
// that no other has. It is made where the first rule needs it: a node without rules starts without it.
var platforms = sync.OnceValue(func() []platform {
	return []platform{
		{
			name: "vercel", hosts: []string{"oidc.vercel.com"}, shared: []string{"https://oidc.vercel.com"},
			ids:       []string{"project_id", "owner_id"},
			names:     map[string]string{"sub": "it holds names of the team and the project, which change and are given to others", "owner": "a team may be renamed, and its name taken by another", "project": "a project may be renamed"},
			exact:     []string{"environment"},
			commonAud: "https://vercel.com/",
			template: template{
				issuer: "https://oidc.vercel.com/{team}", jwksURI: "https://oidc.vercel.com/{team}/.well-known/jwks",
				variant: "global_issuer", variantIssuer: "https://oidc.vercel.com", variantJWKS: "https://oidc.vercel.com/.well-known/jwks",
				algorithms: []string{"RS256"}, audience: "https://vercel.com/{team}",
				require: map[string]string{"owner_id": "{owner_id}", "project_id": "{project_id}", "environment": "{environments}"},
				with: []parameter{
					{name: "team", required: true, doc: "the team's name in URLs"},
					{name: "owner_id", required: true, doc: "the team's id, team_…"},
					{name: "project_id", kind: manyText, required: true, doc: "ids of projects, prj_…"},
					{name: "environments", kind: manyText, required: true, doc: "production, preview, or the name of another; development only where it is named"},
					{name: "global_issuer", kind: boolean, doc: "the project's issuer mode is global"},
					{name: "allow_default_audience", kind: boolean, doc: "also take the audience that all relying parties of the team share"},
				},
			},
		},
		{
			name: "github", hosts: []string{"token.actions.githubusercontent.com", ".ghe.com"}, shared: []string{"https://token.actions.githubusercontent.com"},
			claims: []string{"repository", "repository_owner", "job_workflow_ref"}, subject: "repo:",
			ids: []string{"repository_id", "repository_owner_id", "enterprise_id", "sub"},
			names: map[string]string{
				"sub":              "without the ids of owner and repository (repo:OWNER@ID/REPO@ID:…) it holds names alone, which are given to others after a rename",
				"repository":       "names are given to others after a rename; use repository_id",
				"repository_owner": "names are given to others after a rename; use repository_owner_id",
				"job_workflow_ref": "it names a repository, and names are given to others after a rename; add repository_id",
				"actor_id":         "it says who started the run, not whose code runs; add repository_id",
			},
			template: template{
				issuer: "https://token.actions.githubusercontent.com", algorithms: []string{"RS256"},
				require: map[string]string{
					"repository_owner_id": "{owner_id}", "repository_id": "{repository_id}", "environment": "{environment}",
					"ref": "{ref}", "job_workflow_ref": "{workflow}",
				},
				oneOf: []string{"environment", "ref", "workflow"},
				why:   "else every branch and pull request of the repository would do",
				with: []parameter{
					{name: "owner_id", required: true, number: true, doc: "the owner's number: gh api users/OWNER --jq .id"},
					{name: "repository_id", kind: manyText, required: true, number: true, doc: "numbers of repositories: gh api repos/OWNER/REPO --jq .id"},
					{name: "environment", kind: manyText, doc: "names of deployment environments that the platform protects: else a run of any branch may name them"},
					{name: "ref", kind: manyText, doc: "such as refs/heads/main"},
					{name: "workflow", kind: manyText, doc: "job_workflow_ref, such as OWNER/REPO/.github/workflows/deploy.yml@refs/heads/main"},
				},
			},
		},
		{
			name: "gitlab", hosts: []string{"gitlab.com"}, shared: []string{"https://gitlab.com"},
			claims: []string{"project_path", "namespace_path"}, subject: "project_path:",
			ids: []string{"project_id", "namespace_id"},
			names: map[string]string{
				"sub":          "it names the project by its path, which is given to others after a rename",
				"project_path": "paths are given to others after a rename; use project_id", "namespace_path": "paths are given to others after a rename; use namespace_id",
				"user_id": "it says who started the job, not whose code runs; add project_id",
			},
			template: template{
				issuer: "{issuer}", algorithms: []string{"RS256"},
				require: map[string]string{
					"project_id": "{project_id}", "namespace_id": "{namespace_id}", "environment": "{environment}",
					"ref_path": "{ref}", "ref_protected": "{ref_protected}",
				},
				oneOf: []string{"environment", "ref", "ref_protected"},
				why:   "else every branch of the project would do",
				with: []parameter{
					{name: "issuer", def: "https://gitlab.com", doc: "URL of the instance"},
					{name: "project_id", kind: manyText, required: true, number: true, doc: "numbers of projects"},
					{name: "namespace_id", number: true, doc: "number of the group or user"},
					{name: "environment", kind: manyText, doc: "names of deployment environments that the platform protects: else a run of any branch may name them"},
					{name: "ref", kind: manyText, doc: "such as refs/heads/main"},
					{name: "ref_protected", kind: boolean, doc: "true: protected branches and tags only"},
				},
			},
		},
		{
			name: "aws", hosts: []string{".tokens.sts.global.api.aws"}, claims: []string{awsClaims + "/"},
			ids:       []string{awsClaims + "/aws_account", awsClaims + "/org_id"},
			names:     map[string]string{"sub": "the name of a role is given to another after it was deleted; add " + awsClaims + "/aws_account, whose owner decides on that"},
			chosen:    []string{awsClaims + "/request_tags"},
			stringAud: true,
			template: template{
				issuer: "{issuer}", jwksURI: "{issuer}/.well-known/jwks.json", algorithms: []string{"ES384", "RS256"},
				require: map[string]string{
					awsClaims + "/aws_account": "{account}", "sub": "{role}", awsClaims + "/lambda_source_function_arn": "{function}",
				},
				with: []parameter{
					{name: "issuer", required: true, doc: "the account's: aws iam get-outbound-web-identity-federation-info"},
					{name: "account", required: true, number: true, doc: "the account's number"},
					{name: "role", kind: manyText, required: true, doc: "ARNs of roles, arn:aws:iam::ACCOUNT:role/NAME"},
					{name: "function", kind: manyText, doc: "ARNs of Lambda functions"},
				},
			},
		},
		{
			name:   "aws-function-url",
			ids:    []string{"role_id"},
			names:  map[string]string{"role": "a role can be deleted and made again with the same name; add role_id", "account": "every identity of the account has it; add role_id"},
			chosen: []string{"session"},
			template: template{
				issuer: FunctionURL, maxTTL: 12 * time.Hour, vouched: true, // the longest session of a role
				require: map[string]string{"account": "{account}", "role": "{role}", "role_id": "{role_id}"},
				with: []parameter{
					{name: "account", required: true, number: true, doc: "the account's number"},
					{name: "role", kind: manyText, required: true, doc: "names of roles, without their paths"},
					{name: "role_id", kind: manyText, required: true, doc: "their unique ids, AROA…: aws iam get-role --role-name NAME --query Role.RoleId"},
				},
			},
		},
		{
			name: "kubernetes", claims: []string{podClaims + "/"}, subject: "system:serviceaccount:",
			ids: []string{podClaims + "/serviceaccount/uid"},
			names: map[string]string{
				"sub":                              "whoever may create a service account of that name again has it; add " + podClaims + "/serviceaccount/uid",
				podClaims + "/namespace":           "a namespace can be deleted and made again; add " + podClaims + "/serviceaccount/uid",
				podClaims + "/serviceaccount/name": "a service account can be deleted and made again; add " + podClaims + "/serviceaccount/uid",
			},
			template: template{
				issuer: "{issuer}", algorithms: []string{"RS256", "ES256", "ES384"},
				require: map[string]string{
					"sub":                    "system:serviceaccount:{namespace}:{service_account}",
					podClaims + "/namespace": "{namespace}", podClaims + "/serviceaccount/name": "{service_account}",
					podClaims + "/serviceaccount/uid": "{uid}",
				},
				with: []parameter{
					{name: "issuer", required: true, doc: "the cluster's: kubectl get --raw /.well-known/openid-configuration"},
					{name: "namespace", required: true},
					{name: "service_account", required: true},
					{name: "uid", kind: manyText, required: true, doc: "the service account's: kubectl get serviceaccount NAME -o jsonpath={.metadata.uid}"},
				},
			},
		},
		{
			name: "fly", hosts: []string{"oidc.fly.io"},
			ids:   []string{"app_id", "org_id"},
			names: map[string]string{"sub": "it holds names, and names are given to others; use app_id", "app_name": "names are given to others; use app_id", "org_name": "names are given to others; use org_id"},
			template: template{
				issuer: "https://oidc.fly.io/{org}", algorithms: []string{"RS256"},
				require: map[string]string{"org_id": "{org_id}", "app_id": "{app_id}", "image_digest": "{image_digest}"},
				with: []parameter{
					{name: "org", required: true, doc: "the organisation's name in URLs"},
					{name: "org_id", required: true},
					{name: "app_id", kind: manyText, required: true},
					{name: "image_digest", kind: manyText, doc: "sha256:…, where only one image will do"},
				},
			},
		},
		{
			name: "google", hosts: []string{"accounts.google.com"}, shared: []string{"https://accounts.google.com"},
			ids: []string{"sub", "/google/compute_engine/instance_id", "/google/compute_engine/project_number", "/google/compute_engine/project_id"},
			names: map[string]string{
				"email": "a service account can be deleted and made again with the same address; use sub, its unique id",
				"azp":   "it says who asked for the token; use sub",
				"hd":    "it says that somebody is of a domain, not who; use sub",
			},
			template: template{
				issuer: "https://accounts.google.com", jwksURI: "https://www.googleapis.com/oauth2/v3/certs", algorithms: []string{"RS256"},
				require: map[string]string{"sub": "{unique_id}", "email": "{email}", "/google/compute_engine/project_number": "{project_number}"},
				with: []parameter{
					{name: "unique_id", kind: manyText, required: true, doc: "of service accounts: gcloud iam service-accounts describe EMAIL --format 'value(uniqueId)'"},
					{name: "email", kind: manyText, doc: "of service accounts, in tokens of format full"},
					{name: "project_number", number: true, doc: "of Compute Engine instances, in tokens of format full"},
				},
			},
		},
		{
			name: "azure", hosts: []string{"login.microsoftonline.com", "sts.windows.net"},
			nobodys: []string{
				"https://login.microsoftonline.com/common/v2.0", "https://login.microsoftonline.com/organizations/v2.0", "https://login.microsoftonline.com/consumers/v2.0",
				"https://sts.windows.net/common/", "https://sts.windows.net/organizations/", "https://sts.windows.net/consumers/",
			},
			shared: []string{
				"https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", "https://sts.windows.net/9188040d-6c67-4c5b-b112-36a304b66dad/", // personal accounts
			},
			ids: []string{"oid", "sub", "azp", "appid"}, common: []string{"azp", "appid"},
			names: map[string]string{"azp": "everybody who signs in to the application has it; use oid", "appid": "everybody who signs in to the application has it; use oid", "tid": "every identity of the tenant has it; add oid", "xms_mirid": "it holds names, which can be deleted and made again; use oid"},
			template: template{
				issuer: "https://login.microsoftonline.com/{tenant_id}/v2.0", jwksURI: "https://login.microsoftonline.com/{tenant_id}/discovery/v2.0/keys",
				variant: "v1", variantIssuer: "https://sts.windows.net/{tenant_id}/", variantJWKS: "https://login.microsoftonline.com/{tenant_id}/discovery/keys",
				algorithms: []string{"RS256"}, maxTTL: 25 * time.Hour, // managed identities get 24h, from five minutes ago
				require: map[string]string{"tid": "{tenant_id}", "oid": "{object_id}"},
				with: []parameter{
					{name: "tenant_id", required: true},
					{name: "object_id", kind: manyText, required: true, doc: "principal ids of managed identities or service principals"},
					{name: "v1", kind: boolean, doc: "the audience is an application whose tokens are of version 1.0"},
				},
			},
		},
		{
			name: "key", ids: []string{"sub"},
			template: template{
				issuer: "{client_id}", algorithms: []string{"EdDSA"}, maxTTL: MaxAssertionTTL, assertion: true,
				require: map[string]string{"sub": "{client_id}"},
				with:    []parameter{{name: "client_id", required: true, doc: "name of the client, iss and sub of what its key signs"}},
			},
		},
		{name: "", ids: []string{"sub", "oid", "*_id", "*/uid", "*/id"}},
	}
})
