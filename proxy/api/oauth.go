package api

// IssuedToken answers POST /v1/token (RFC 6749 section 5.1, RFC 8693 section 2.2.1).
type IssuedToken struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type,omitempty"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
	Scope           string `json:"scope"`
}

// OAuthError is the body of every answer of POST /v1/token that is not a success (RFC 6749 section 5.2).
type OAuthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// ServerMetadata answers GET /.well-known/oauth-authorization-server (RFC 8414 section 2).
type ServerMetadata struct {
	Issuer         string   `json:"issuer"`
	TokenEndpoint  string   `json:"token_endpoint"`
	JWKSURI        string   `json:"jwks_uri"`
	GrantTypes     []string `json:"grant_types_supported"`
	ResponseTypes  []string `json:"response_types_supported"`
	AuthMethods    []string `json:"token_endpoint_auth_methods_supported"`
	AuthAlgorithms []string `json:"token_endpoint_auth_signing_alg_values_supported"`
}
