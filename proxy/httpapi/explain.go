package httpapi

import (
	"net/http"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
)

const explainForm = `want {"path":"…","action":"read"|"list"|"write"|"invalidate"|"revoke"|"approve"}`

// explain serves POST /v1/explain.
func (n *Native) explain(w http.ResponseWriter, r *http.Request) error {
	root, err := n.request(w, r, explainForm, "path", "action")
	if err != nil {
		return err
	}
	name, ok := root.Get("path").Str()
	word, _ := root.Get("action").Str()
	action := policy.Action(word)
	if !ok || !action.Valid() {
		return fail(api.InvalidRequest, explainForm)
	}
	path, c, err := n.callOn(r, name)
	if err != nil {
		return err
	}
	e, err := n.proxy.Explain(r.Context(), &c, path, action)
	if err != nil {
		return err
	}
	w.Header()["X-Keyhole-Decision"] = []string{e.Decision}
	writeJSON(w, http.StatusOK, api.Explain{Data: api.Explanation{
		Path: path.String(), Action: word, Effect: e.Effect, Code: e.Code, Rule: e.Rule, Reason: e.Reason,
		PolicyDigest: e.Digest, Decision: e.Decision,
	}})
	return nil
}
