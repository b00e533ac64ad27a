package app

import (
	"encoding/json"
	"net/http"
)

// admin answers on the admin listener, which is for operators: it says why, where the native API says only whether.
func (a *App) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := a.Proxy.Ready(); err != nil {
			answer(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": err.Error()})
			return
		}
		answer(w, http.StatusOK, map[string]any{"ready": true, "generation": a.Proxy.Generation()})
	})
	mux.HandleFunc("POST /v1/vault/backup", a.backup)
	return mux
}

func answer(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
