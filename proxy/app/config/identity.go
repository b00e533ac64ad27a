package config

import (
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// Identity is whose tokens are believed, and how our own are signed.
type Identity struct {
	Issuer     string   `key:"issuer" doc:"iss of our own tokens; needed with signing_key or keys."`
	Audience   string   `key:"audience" doc:"aud of our own tokens; needed with signing_key or keys."`
	SigningKey Ref      `key:"signing_key" private:"true" doc:"Ed25519 private key (PKCS#8) that signs our tokens; without it this node only verifies."`
	Keys       Ref      `key:"keys" doc:"Our public keys, a JWK set."`
	MaxTTL     Duration `key:"max_ttl" default:"1h" min:"1s" max:"1h" doc:"Longest life of our own tokens."`

	FunctionURLOnly bool `key:"function_url_only" doc:"Nobody may invoke the Lambda function but through its Function URL: every statement that allows lambda:InvokeFunction on it has the condition lambda:InvokedViaFunctionUrl. Rules of template aws-function-url need it, since whoever invokes the function directly writes into the event who calls."`

	Trust    []TrustRule `key:"trust" doc:"Identities of platforms that are believed."`
	Function Function    `key:"function" doc:"The function beside the Lambda extension; for no other program."`
}

// Function is what the function beside an extension may do.
type Function struct {
	Scope []string `key:"scope" doc:"Scopes of whoever shows the function's session token, ACTION:PATTERN each; read:** when absent."`
}

// Scopes are those of the function. A decoded Config gives no error.
func (f Function) Scopes() (policy.Scopes, error) {
	if len(f.Scope) == 0 {
		return policy.ParseScopes("read:**")
	}
	return policy.ParseScopes(strings.Join(f.Scope, " "))
}

// TrustRule says which tokens of one issuer are believed and what they become. It names a template, or the issuer with
// all that its tokens must show.
type TrustRule struct {
	Name     string             `key:"name" required:"true" format:"name" doc:"Name of the rule, as records and revocations use it."`
	Template string             `key:"template" format:"name" doc:"Built-in rule to start from."`
	With     map[string]Strings `key:"with" doc:"What the template asks for: a string, a list of strings or a boolean each."`
	Issuer   string             `key:"issuer" format:"url" doc:"Exact iss."`
	JWKSURI  string             `key:"jwks_uri" format:"url" doc:"Where the issuer's keys are, when not where discovery says."`
	JWKS     Ref                `key:"jwks" schemes:"file" doc:"Keys of the issuer, a JWK set, to start with where the network is not up; the public keys of a client of template key."`
	CA       Ref                `key:"ca" schemes:"file" doc:"CA of the issuer's HTTPS, beside those of the system; PEM."`

	AllowPrivate bool `key:"allow_private" doc:"The issuer's addresses may be private or loopback."`

	Algs      []string            `key:"algs" enum:"EdDSA|RS256|ES256|ES384" doc:"Signature algorithms of the issuer."`
	Audiences []string            `key:"audiences" doc:"Accepted aud, to the letter; identity.audience where a rule names none."`
	Require   map[string][]string `key:"require" doc:"Claims that must be there, each with the values it may have. /a/b is claim b inside a; * is any one segment between colons."`
	Forbid    []string            `key:"forbid" doc:"Claims that must not be there."`
	MaxTTL    Duration            `key:"max_ttl" min:"1s" doc:"Longest life that a token may have: 24h, or what the template says, where a rule says nothing."`
	Map       TrustMap            `key:"map" doc:"What the token becomes. {CLAIM} stands for the value of a claim."`
}

// TrustMap is what a token of a trust rule becomes.
type TrustMap struct {
	Base   string            `key:"base" doc:"Path that short names are under."`
	Scope  []string          `key:"scope" required:"true" doc:"Scopes, ACTION:PATTERN each."`
	Labels map[string]string `key:"labels" doc:"Labels of the principal, for policies."`
}
