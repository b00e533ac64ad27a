package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

const (
	tokenPath = "/v1/token"
	// maxTokenBodyBytes bounds a form: one token, scopes, and what percent escapes add.
	maxTokenBodyBytes = 64 << 10

	grantExchange    = "urn:ietf:params:oauth:grant-type:token-exchange"
	grantCredentials = "client_credentials"
	assertionType    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	typeIDToken     = "urn:ietf:params:oauth:token-type:id_token"
	typeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// token serves POST /v1/token: the token endpoint of RFC 6749, for the grants of RFC 8693 and of RFC 7523.
func (n *Native) token(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	body, err := n.bodyOf(w, r, maxTokenBodyBytes, "application/x-www-form-urlencoded")
	defer body.free()
	if err != nil {
		return err
	}
	form, err := tokenForm(string(body.bytes))
	if err != nil {
		return err
	}
	token, req, err := exchangeRequest(form)
	if err != nil {
		return err
	}
	if r.Header.Get("Authorization") != "" {
		return fail(api.InvalidRequest, "the token goes into the form, as subject_token or client_assertion; send no Authorization header")
	}
	c, err := n.call(r)
	if err != nil {
		return err
	}
	c.Token = token
	done, err := n.proxy.Exchange(r.Context(), &c, req)
	if err != nil {
		return forGrant(err, req.Assertion)
	}
	w.Header()["X-Keyhole-Decision"] = []string{done.Decision}
	w.Header()["Pragma"] = headerNoCache
	answer := api.IssuedToken{
		AccessToken: done.Token, TokenType: "Bearer", ExpiresIn: int64(done.TTL / time.Second), Scope: done.Scopes.String(),
	}
	if !req.Assertion {
		answer.IssuedTokenType = typeAccessToken
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// tokenForm reads the form. Parameters that are not known are ignored, one without a value is as one that is not there, and
// none may come twice (RFC 6749 section 3.2).
func tokenForm(body string) (url.Values, error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return nil, fail(api.InvalidRequest, "the form is malformed")
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, fail(api.InvalidRequest, "a parameter is repeated")
		}
		if values[0] == "" {
			delete(form, name)
		}
	}
	return form, nil
}

func exchangeRequest(form url.Values) (token string, r proxy.ExchangeRequest, err error) {
	switch form.Get("grant_type") {
	case grantExchange:
		token, err = subjectToken(form)
	case grantCredentials:
		r.Assertion = true
		if token = form.Get("client_assertion"); token == "" || form.Get("client_assertion_type") != assertionType {
			err = oauthFail("invalid_client", http.StatusUnauthorized, "want client_assertion and client_assertion_type="+assertionType)
		}
	case "":
		err = fail(api.InvalidRequest, "want grant_type="+grantExchange+" or "+grantCredentials)
	default:
		err = oauthFail("unsupported_grant_type", http.StatusBadRequest, "want grant_type="+grantExchange+" or "+grantCredentials)
	}
	if err != nil {
		return "", r, err
	}
	r.ClientID = form.Get("client_id")
	if text := form.Get("scope"); text != "" {
		r.Narrow = true
		if r.Scopes, err = policy.ParseScopes(text); err != nil {
			return "", r, fail(api.InvalidScope, err.Error())
		}
	}
	if form.Has("expires_in") {
		text := form.Get("expires_in")
		seconds, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(seconds) != text || seconds < 1 {
			return "", r, fail(api.InvalidRequest, "expires_in is a number of seconds, at least 1")
		}
		r.TTL = time.Duration(min(seconds, 1e6)) * time.Second // a Duration cannot hold all of them, and no token lives as long
	}
	return token, r, nil
}

// subjectToken reads what RFC 8693 section 2.1 defines and is not refused here.
func subjectToken(form url.Values) (string, error) {
	types := []string{typeAccessToken, typeIDToken, typeJWT}
	requested := form.Get("requested_token_type")
	switch {
	case form.Get("subject_token") == "":
		return "", fail(api.InvalidRequest, "want subject_token, the token to exchange")
	case !slices.Contains(types, form.Get("subject_token_type")):
		return "", fail(api.InvalidRequest, "want subject_token_type="+typeJWT+", or one that ends in :access_token or :id_token")
	case requested != "" && requested != typeAccessToken && requested != typeJWT:
		return "", fail(api.InvalidRequest, "only access tokens are issued; leave requested_token_type out")
	case form.Has("actor_token") || form.Has("actor_token_type"):
		return "", fail(api.InvalidRequest, "nobody acts for another here; leave actor_token out")
	case form.Has("resource") || form.Has("audience"):
		return "", oauthFail("invalid_target", http.StatusBadRequest, "tokens are issued for this service alone; leave audience and resource out")
	}
	return form.Get("subject_token"), nil
}

// metadata serves GET /.well-known/oauth-authorization-server (RFC 8414 section 2).
func (n *Native) metadata(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	if n.issuer == "" {
		return fail(api.UnknownRoute, "this node takes tokens of others alone and has no identity.issuer, so there is no authorization server to describe")
	}
	w.Header()["Cache-Control"] = headerPublic
	base := strings.TrimSuffix(n.issuer, "/") // of the addresses: the issuer itself is the iss of tokens, to the letter
	writeJSON(w, http.StatusOK, api.ServerMetadata{
		Issuer: n.issuer, TokenEndpoint: base + tokenPath, JWKSURI: base + jwksPath,
		GrantTypes: []string{grantExchange, grantCredentials}, ResponseTypes: []string{},
		AuthMethods: []string{"none", "private_key_jwt"}, AuthAlgorithms: []string{"EdDSA", "ES256", "ES384", "RS256"},
	})
	return nil
}
