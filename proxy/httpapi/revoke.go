package httpapi

import (
	"net/http"
	"slices"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

const revocationForm = `want one of {"token_id"}, {"subject"}, {"trust"}, {"key_id"} and {"secret":"PATTERN"}, with "reason" and, if it ends by itself, "until" as an RFC 3339 time`

// revocations serves /v1/revocations.
func (n *Native) revocations(w http.ResponseWriter, r *http.Request) error {
	if err := allow(w, r, http.MethodGet, http.MethodPost); err != nil {
		return err
	}
	if r.Method == http.MethodPost {
		return n.revoke(w, r)
	}
	q, err := query(r, "limit", "page")
	if err != nil {
		return err
	}
	limit, err := listLimit(q)
	if err != nil {
		return err
	}
	c, err := n.call(r)
	if err != nil {
		return err
	}
	found, err := n.proxy.Revocations(r.Context(), &c, q.Get("page"), limit)
	if err != nil {
		return err
	}
	list := found.Revocations
	answer := api.Revocations{Data: make([]api.Revocation, len(list))}
	for i := range list {
		answer.Data[i] = revocation(&list[i])
	}
	if found.More {
		answer.NextPage = list[len(list)-1].ID
	}
	w.Header()["X-Keyhole-Decision"] = []string{found.Decision}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (n *Native) revoke(w http.ResponseWriter, r *http.Request) error {
	members := []string{"reason", "until"}
	for _, k := range api.RevocationKinds() {
		members = append(members, string(k))
	}
	root, err := n.request(w, r, revocationForm, members...)
	if err != nil {
		return err
	}
	what, err := readRevocation(root)
	if err != nil {
		return err
	}
	c, err := n.call(r)
	if err != nil {
		return err
	}
	done, err := n.proxy.Revoke(r.Context(), &c, what)
	if err != nil {
		return err
	}
	writeRevocation(w, http.StatusCreated, &done)
	return nil
}

// readRevocation takes exactly one kind, and texts only.
func readRevocation(root *strictjson.Node) (out proxy.Revocation, err error) {
	for _, m := range root.Members {
		s, ok := m.Value.Str()
		switch {
		case !ok:
			return out, fail(api.InvalidRequest, revocationForm)
		case m.Name == "reason":
			out.Reason = s
		case m.Name == "until":
			if out.Until, err = time.Parse(time.RFC3339, s); err != nil {
				return out, fail(api.InvalidRequest, "until is an RFC 3339 time, such as 2026-12-31T00:00:00Z")
			}
		case out.Kind != "":
			return out, fail(api.InvalidRequest, revocationForm)
		case slices.Contains(api.RevocationKinds(), api.RevocationKind(m.Name)):
			out.Kind, out.Name = api.RevocationKind(m.Name), s
		}
	}
	if out.Kind == "" {
		return out, fail(api.InvalidRequest, revocationForm)
	}
	return out, nil
}

// lift serves DELETE /v1/revocations/{id}.
func (n *Native) lift(w http.ResponseWriter, r *http.Request, id string) error {
	if err := allow(w, r, http.MethodDelete); err != nil {
		return err
	}
	c, err := n.plainCall(r)
	if err != nil {
		return err
	}
	done, err := n.proxy.Lift(r.Context(), &c, id)
	if err != nil {
		return err
	}
	writeRevocation(w, http.StatusOK, &done)
	return nil
}

func writeRevocation(w http.ResponseWriter, status int, r *proxy.Revocation) {
	w.Header()["X-Keyhole-Decision"] = []string{r.Decision}
	writeJSON(w, status, api.RevocationAnswer{Data: revocation(r)})
}

func revocation(r *proxy.Revocation) api.Revocation {
	out := api.Revocation{
		ID: r.ID, Reason: r.Reason, By: r.By, CreatedAt: r.At.UTC().Format(time.RFC3339Nano), Generation: r.Generation,
	}
	if !r.Until.IsZero() {
		out.Until = r.Until.UTC().Format(time.RFC3339Nano)
	}
	switch r.Kind {
	case api.RevokeTokenID:
		out.TokenID = r.Name
	case api.RevokeSubject:
		out.Subject = r.Name
	case api.RevokeTrust:
		out.Trust = r.Name
	case api.RevokeKeyID:
		out.KeyID = r.Name
	case api.RevokeSecret:
		out.Secret = r.Name
	}
	return out
}
