package httpapi

import (
	"net/http"
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
	req := proxy.ListRequest{Limit: proxy.DefaultListLimit}
	if q.Has("prefix") {
		if req.Prefix, err = parsePath(q.Get("prefix")); err != nil {
			return err
		}
	}
	if q.Has("limit") {
		req.Limit, err = strconv.Atoi(q.Get("limit"))
		if err != nil || strconv.Itoa(req.Limit) != q.Get("limit") || req.Limit < 1 || req.Limit > proxy.MaxListLimit {
			return fail(api.InvalidRequest, "limit is a number from 1 to "+strconv.Itoa(proxy.MaxListLimit))
		}
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
