package httpapi

import (
	"net/http"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const projectTokenForm = `want {"environment","scope","expires_in"}, with "base" and "subject" where they are needed; expires_in is in seconds`

// ProjectTokens serves /v1/tokens, which is on the admin listener alone: a token that lives for months is made on the
// machine of the server.
func (n *Native) ProjectTokens(w http.ResponseWriter, r *http.Request) {
	serve := n.listProjectTokens
	if r.Method == http.MethodPost {
		serve = n.createProjectToken
	}
	err := allow(w, r, http.MethodGet, http.MethodPost)
	if err == nil && r.Header.Get("Origin") != "" {
		err = errBrowser
	}
	if err == nil {
		err = n.proxy.Enter(r.Context(), r.ContentLength != 0)
	}
	if err == nil {
		defer n.proxy.Leave()
		err = serve(w, r)
	}
	if err != nil {
		WriteError(w, err)
	}
}

func (n *Native) createProjectToken(w http.ResponseWriter, r *http.Request) error {
	root, err := n.request(w, r, projectTokenForm, "environment", "scope", "expires_in", "base", "subject")
	if err != nil {
		return err
	}
	req, err := projectTokenRequest(root)
	if err != nil {
		return err
	}
	c, err := n.adminCall(r)
	if err != nil {
		return err
	}
	token, made, err := n.proxy.CreateProjectToken(r.Context(), &c, req)
	if err != nil {
		return err
	}
	setPrivate(w.Header())
	writeJSON(w, http.StatusCreated, api.CreatedProjectToken{Data: struct {
		Token string `json:"token"`
		api.ProjectToken
	}{token, projectToken(made)}})
	return nil
}

func projectTokenRequest(root *strictjson.Node) (out proxy.ProjectTokenRequest, err error) {
	var scope, base string
	for name, into := range map[string]*string{"environment": &out.Environment, "scope": &scope, "base": &base, "subject": &out.Subject} {
		if v := root.Get(name); v != nil {
			var ok bool
			if *into, ok = v.Str(); !ok {
				return out, fail(api.InvalidRequest, projectTokenForm)
			}
		}
	}
	seconds, ok := root.Get("expires_in").Int64()
	if !ok || out.Environment == "" {
		return out, fail(api.InvalidRequest, projectTokenForm)
	}
	// A Duration cannot hold all of them; what it is cut to is too long as well.
	out.TTL = time.Duration(min(max(seconds, 0), int64(proxy.MaxProjectTokenTTL/time.Second)+1)) * time.Second
	if out.Scopes, err = policy.ParseScopes(scope); err != nil {
		return out, fail(api.InvalidScope, err.Error())
	}
	if base != "" {
		if out.Base, err = secret.ParsePath(base); err != nil {
			return out, fail(api.InvalidPath, err.Error())
		}
	}
	return out, nil
}

func (n *Native) listProjectTokens(w http.ResponseWriter, r *http.Request) error {
	if err := bodyless(w, r); err != nil {
		return err
	}
	if _, err := query(r); err != nil {
		return err
	}
	c, err := n.adminCall(r)
	if err != nil {
		return err
	}
	found, err := n.proxy.ProjectTokens(r.Context(), &c)
	if err != nil {
		return err
	}
	answer := api.ProjectTokens{Data: make([]api.ProjectToken, len(found))}
	for i := range found {
		answer.Data[i] = projectToken(&found[i].ProjectToken)
		answer.Data[i].Revoked = found[i].Revoked
		if at := found[i].LastUsed; !at.IsZero() {
			answer.Data[i].LastUsed = at.UTC().Truncate(time.Hour).Format(time.RFC3339)
		}
	}
	setPrivate(w.Header())
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// adminCall is call on the admin listener, which has no proxies before it.
func (n *Native) adminCall(r *http.Request) (proxy.Call, error) {
	c, err := n.call(r)
	c.Surface = "admin"
	return c, err
}

func projectToken(t *proxy.ProjectToken) api.ProjectToken {
	return api.ProjectToken{
		TokenID: t.ID(), Environment: t.Environment, Subject: t.Subject, Scope: t.Scopes.String(), Base: t.Base.String(), CreatedBy: t.CreatedBy,
		CreatedAt: t.Created.UTC().Format(time.RFC3339), ExpiresAt: t.Expires.UTC().Format(time.RFC3339),
	}
}
