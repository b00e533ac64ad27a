package httpapi

import (
	"net/http"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

const invalidationForm = `want {"path":"…"} for one secret, or {"prefix":"…"} for that path and all below it`

// invalidate serves POST /v1/invalidations.
func (n *Native) invalidate(w http.ResponseWriter, r *http.Request) error {
	root, err := n.request(w, r, invalidationForm, "path", "prefix")
	if err != nil {
		return err
	}
	what, err := invalidation(root)
	if err != nil {
		return err
	}
	c, err := n.call(r)
	if err != nil {
		return err
	}
	done, err := n.proxy.Invalidate(r.Context(), &c, what)
	if err != nil {
		return err
	}
	writeInvalidated(w, done)
	return nil
}

// invalidation reads what is to be invalidated: one of the two members.
func invalidation(root *strictjson.Node) (proxy.Invalidation, error) {
	name, exact := root.Get("path").Str()
	prefix, below := root.Get("prefix").Str()
	if exact == below || len(root.Members) != 1 {
		return proxy.Invalidation{}, fail(api.InvalidRequest, invalidationForm)
	}
	path, err := parsePath(name + prefix)
	return proxy.Invalidation{Path: path, Below: below}, err
}

func writeInvalidated(w http.ResponseWriter, done proxy.Invalidated) {
	w.Header()["X-Keyhole-Decision"] = []string{done.Decision}
	var answer api.Invalidated
	answer.Data.Generation = done.Generation
	writeJSON(w, http.StatusOK, answer)
}
