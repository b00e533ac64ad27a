package httpapi

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

// parseObject reads a JSON object with no other members than those named. form is what the caller should have sent. The
// caller wipes the tree.
func parseObject(body []byte, form string, members ...string) (*strictjson.Node, error) {
	root, err := strictjson.Parse(body, strictjson.Limits{Bytes: maxPutBodyBytes, Depth: 8, Nodes: 4096})
	if err != nil {
		return nil, fail(api.InvalidRequest, err.Error())
	}
	if root.Kind != strictjson.Object {
		root.Wipe()
		return nil, fail(api.InvalidRequest, form)
	}
	for _, m := range root.Members {
		if !slices.Contains(members, m.Name) {
			name := m.Name
			root.Wipe()
			return nil, fail(api.UnknownParameter, fmt.Sprintf("unknown member %.40q; %s", name, form))
		}
	}
	return root, nil
}

// request reads the body of a call that takes one JSON object without secret values.
func (n *Native) request(w http.ResponseWriter, r *http.Request, form string, members ...string) (*strictjson.Node, error) {
	body, err := n.body(w, r, maxBodyBytes)
	defer body.free()
	if err != nil {
		return nil, err
	}
	root, err := parseObject(body.bytes, form, members...)
	if err != nil {
		return nil, err
	}
	_, err = query(r)
	return root, err
}
