package httpapi

import (
	"net/http"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

// maxHookBodyBytes bounds what anybody may send to a hook: one path, with room for a sender's way of writing JSON.
const maxHookBodyBytes = 4 << 10

// hook serves POST /v1/hooks/{name}: an invalidation that is signed instead of carrying a token, which is ignored.
func (n *Native) hook(w http.ResponseWriter, r *http.Request, name string) error {
	if err := allow(w, r, http.MethodPost); err != nil {
		return err
	}
	body, err := n.body(w, r, maxHookBodyBytes)
	defer body.free()
	if err != nil {
		return err
	}
	root, err := parseObject(body.bytes, invalidationForm, "path", "prefix")
	if err != nil {
		return err
	}
	what, err := invalidation(root)
	if err != nil {
		return err
	}
	if _, err := query(r); err != nil {
		return err
	}
	stamps, signatures := r.Header["X-Keyhole-Timestamp"], r.Header["X-Keyhole-Signature"]
	if len(stamps) > 1 || len(signatures) > 1 {
		return fail(api.InvalidRequest, "more than one X-Keyhole-Timestamp or X-Keyhole-Signature header")
	}
	c, err := n.call(r)
	if err != nil {
		return err
	}
	c.Token = ""
	m := proxy.HookMessage{Name: name, Timestamp: first(stamps), Signature: first(signatures), Body: body.bytes}
	done, err := n.proxy.Hook(r.Context(), &c, &m, what)
	if err != nil {
		return err
	}
	writeInvalidated(w, done)
	return nil
}
