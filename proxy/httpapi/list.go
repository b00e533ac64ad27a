package httpapi

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

// list serves GET /v1/secrets.
func (n *Native) list(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "prefix", "limit", "page")
	if err != nil {
		return err
	}
	var req proxy.ListRequest
	if q.Has("prefix") {
		if req.Prefix, err = parsePath(q.Get("prefix")); err != nil {
			return err
		}
	}
	if req.Limit, err = listLimit(q); err != nil {
		return err
	}
	if q.Has("page") {
		if req.After, err = n.openCursor(q.Get("page"), req.Prefix); err != nil {
			return err
		}
	}
	c, err := n.call(r)
	if err != nil {
		return err
	}
	found, err := n.proxy.List(r.Context(), &c, req)
	if err != nil {
		return err
	}
	answer := api.List{Data: make([]api.ListItem, len(found.Items))}
	for i, it := range found.Items {
		answer.Data[i] = api.ListItem{
			Path: it.Path.String(), Mount: it.Mount, Version: string(it.Item.Version), Metadata: it.Item.Metadata,
		}
		if !it.Item.UpdatedAt.IsZero() {
			answer.Data[i].UpdatedAt = it.Item.UpdatedAt.UTC().Format(time.RFC3339Nano)
		}
	}
	if found.Next != "" {
		answer.NextPage = n.sealCursor(found.Next, req.Prefix)
	}
	w.Header()["X-Keyhole-Decision"] = []string{found.Decision}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

// listLimit is how many items a page may have at most.
func listLimit(q url.Values) (int, error) {
	if !q.Has("limit") {
		return proxy.DefaultListLimit, nil
	}
	n, err := strconv.Atoi(q.Get("limit"))
	if err != nil || strconv.Itoa(n) != q.Get("limit") || n < 1 || n > proxy.MaxListLimit {
		return 0, fail(api.InvalidRequest, "limit is a number from 1 to "+strconv.Itoa(proxy.MaxListLimit))
	}
	return n, nil
}
