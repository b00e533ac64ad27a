package app

import (
	"encoding/json"
	"net/http"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/httpapi"
)

// admin answers on the admin listener, which is for operators: it says why, where the native API says only whether.
func (a *App) admin() http.Handler {
	routes := map[string]struct {
		method string // "" where the handler says which it takes
		handle http.HandlerFunc
	}{
		"/healthz":         {http.MethodGet, healthz},
		"/readyz":          {http.MethodGet, a.readyz},
		"/v1/vault/backup": {http.MethodPost, a.backup},
		"/v1/tokens":       {"", a.Native.ProjectTokens},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch route, ok := routes[r.URL.Path]; {
		case !ok:
			httpapi.WriteError(w, &proxy.Error{Code: api.UnknownRoute, Message: "no such route of the admin listener"})
		case route.method != "" && r.Method != route.method:
			w.Header().Set("Allow", route.method)
			httpapi.WriteError(w, &proxy.Error{Code: api.MethodNotAllowed, Message: "this route takes " + route.method})
		default:
			route.handle(w, r)
		}
	})
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"status": "ok"})
}

func (a *App) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := a.Proxy.Ready(); err != nil {
		answer(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": err.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]any{"ready": true, "generation": a.Proxy.Generation()})
}

func answer(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
