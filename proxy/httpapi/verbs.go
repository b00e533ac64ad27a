package httpapi

import (
	"net/http"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// delete serves DELETE /v1/secrets/{path}.
func (n *Native) delete(w http.ResponseWriter, r *http.Request, name string) error {
	path, c, err := n.callOn(r, name)
	if err != nil {
		return err
	}
	decision, err := n.proxy.Delete(r.Context(), &c, path)
	if err != nil {
		return err
	}
	noContent(w, decision)
	return nil
}

// versions serves GET /v1/secrets/{path}:versions.
func (n *Native) versions(w http.ResponseWriter, r *http.Request, name string) error {
	path, c, err := n.callOn(r, name)
	if err != nil {
		return err
	}
	history, err := n.proxy.Versions(r.Context(), &c, path)
	if err != nil {
		return err
	}
	answer := api.Versions{Data: make([]api.Version, len(history.Versions))}
	for i, v := range history.Versions {
		answer.Data[i] = api.Version{
			Version: string(v.Version), CreatedAt: v.CreatedAt.UTC().Format(time.RFC3339Nano), State: string(v.State),
		}
	}
	w.Header()["X-Keyhole-Decision"] = []string{history.Decision}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

const rollbackForm = `want {"version":"N"}: the version whose value is to be written again, or "previous"`

// rollback serves POST /v1/secrets/{path}:rollback.
func (n *Native) rollback(w http.ResponseWriter, r *http.Request, name string) error {
	root, err := n.request(w, r, rollbackForm, "version")
	if err != nil {
		return err
	}
	text, _ := root.Get("version").Str()
	version, err := secret.ParseVersion(text)
	if err != nil || text == "" || version == secret.Current {
		return fail(api.InvalidRequest, rollbackForm)
	}
	path, c, err := n.callOn(r, name)
	if err != nil {
		return err
	}
	done, err := n.proxy.Rollback(r.Context(), &c, path, version)
	if err != nil {
		return err
	}
	writeWritten(w, done)
	return nil
}

const reportForm = `want {"version":"N","outcome":"accepted"|"rejected"}, with the version that was taken up`

// report serves POST /v1/secrets/{path}:report.
func (n *Native) report(w http.ResponseWriter, r *http.Request, name string) error {
	root, err := n.request(w, r, reportForm, "version", "outcome")
	if err != nil {
		return err
	}
	text, _ := root.Get("version").Str()
	version, err := secret.ParseVersion(text)
	word, _ := root.Get("outcome").Str()
	uptake := proxy.Uptake(word)
	if err != nil || text == "" || version == secret.Current || version == secret.Previous ||
		uptake != proxy.Accepted && uptake != proxy.Rejected {
		return fail(api.InvalidRequest, reportForm)
	}
	path, c, err := n.callOn(r, name)
	if err != nil {
		return err
	}
	decision, err := n.proxy.Report(r.Context(), &c, path, version, uptake)
	if err != nil {
		return err
	}
	noContent(w, decision)
	return nil
}

func noContent(w http.ResponseWriter, decision string) {
	w.Header()["X-Keyhole-Decision"] = []string{decision}
	w.WriteHeader(http.StatusNoContent)
}
