package api

// ProjectToken is what a project token permits: never the token itself.
type ProjectToken struct {
	TokenID     string `json:"token_id"`
	Environment string `json:"environment"`
	Subject     string `json:"subject"`
	Scope       string `json:"scope"`
	Base        string `json:"base,omitempty"`
	CreatedBy   string `json:"created_by"`
	CreatedAt   string `json:"created_at"`          // RFC 3339, UTC
	ExpiresAt   string `json:"expires_at"`          // RFC 3339, UTC
	LastUsed    string `json:"last_used,omitempty"` // to the hour; absent: never
	Revoked     bool   `json:"revoked,omitempty"`
}

// CreatedProjectToken answers POST /v1/tokens of the admin listener: the one time that the token is shown.
type CreatedProjectToken struct {
	Data struct {
		Token string `json:"token"`
		ProjectToken
	} `json:"data"`
}

// ProjectTokens answers GET /v1/tokens of the admin listener: those that have not expired, the oldest first.
type ProjectTokens struct {
	Data []ProjectToken `json:"data"`
}
