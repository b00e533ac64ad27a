package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

// whoami tells callers who they are taken for. It releases nothing, so it is not recorded; a token that fails is.
func (n *Native) whoami(w http.ResponseWriter, r *http.Request) error {
	c, err := n.plainCall(r)
	if err != nil {
		return err
	}
	pr, err := n.proxy.Whoami(r.Context(), &c)
	if err != nil {
		return err
	}
	id := api.Identity{
		Trust: pr.Trust, Issuer: pr.Issuer, Subject: pr.Subject, ClientID: pr.ClientID, TokenID: pr.TokenID,
		AuthenticatedBy: pr.AuthenticatedBy, Base: pr.Base.String(), Scopes: []string{},
	}
	if !pr.Expires.IsZero() {
		id.ExpiresAt = pr.Expires.UTC().Format(time.RFC3339)
	}
	for _, s := range pr.Scopes {
		id.Scopes = append(id.Scopes, s.String())
	}
	writeJSON(w, http.StatusOK, api.Whoami{Data: id})
	return nil
}

// healthz says that the process answers.
func (n *Native) healthz(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
	return nil
}

// readyz says whether a read could succeed now. Why not is for the log and the admin listener.
func (n *Native) readyz(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	if err := n.proxy.Ready(); err != nil {
		n.log.Warn("not ready", "error", err.Error())
		return &proxy.Error{Code: api.NotReady, Message: "not ready to serve", RetryAfter: time.Second}
	}
	writeJSON(w, http.StatusOK, api.Ready{Ready: true})
	return nil
}

// wellKnownJWKS publishes the keys that verify our own tokens (RFC 7517).
func (n *Native) wellKnownJWKS(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	b := n.jwks()
	h := w.Header()
	h["Cache-Control"] = headerPublic
	h["Content-Type"] = headerJSON
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(b)
	return nil
}
