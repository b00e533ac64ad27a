package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// The admin listener answers failures in the shape of the native API, and what is recorded of a backup is what was
// answered.
func TestAdminAnswersAndRecords(t *testing.T) {
	s, _ := seeded(t, proxytest.Options{})
	listener := httptest.NewServer(s.App.Admin())
	defer listener.Close()
	all := "Bearer " + proxytest.Issuer(s.Config)(t, map[string]string{"scope": "read:** list:**"})
	one := "Bearer " + proxytest.Issuer(s.Config)(t, map[string]string{"scope": "read:**"})
	const local = "/v1/vault/backup?upstream=local"
	held := false
	ask := func(method, target string, authorization ...string) (*http.Response, api.Error) {
		t.Helper()
		req, err := http.NewRequest(method, listener.URL+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Authorization"] = authorization
		resp, err := listener.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var e api.ErrorBody
		if resp.StatusCode >= 300 && json.Unmarshal(body, &e) != nil {
			t.Errorf("%s %s: got %q, want the shape of an error", method, target, body)
		}
		if !held {
			s.App.HoldCopies()() // a copy is done once it lets go, which is after its last byte
		}
		return resp, e.Error
	}
	for name, c := range map[string]struct {
		method, target string
		authorization  []string
		code           api.Code // "" for 200
	}{
		"all scopes":           {http.MethodPost, local, []string{all}, ""},
		"any case of scheme":   {http.MethodPost, local, []string{strings.Replace(all, "Bearer", "bearer", 1)}, ""},
		"no token":             {http.MethodPost, local, nil, api.Unauthenticated},
		"no scheme":            {http.MethodPost, local, []string{strings.TrimPrefix(all, "Bearer ")}, api.Unauthenticated},
		"two headers":          {http.MethodPost, local, []string{all, all}, api.InvalidRequest},
		"one scope":            {http.MethodPost, local, []string{one}, api.ScopeDenied},
		"no such vault":        {http.MethodPost, "/v1/vault/backup?upstream=other", []string{all}, api.NotFound},
		"no such vault to ask": {http.MethodPost, "/v1/vault/backup?upstream=other", []string{one}, api.ScopeDenied},
		"a GET":                {http.MethodGet, local, []string{all}, api.MethodNotAllowed},
		"no such route":        {http.MethodGet, "/v1/vault", []string{all}, api.UnknownRoute},
	} {
		resp, e := ask(c.method, c.target, c.authorization...)
		if e.Code != c.code || c.code == "" && resp.StatusCode != 200 {
			t.Errorf("%s: got %d %s, want %q", name, resp.StatusCode, e.Code, c.code)
		}
		switch c.code {
		case api.InvalidRequest, api.MethodNotAllowed, api.UnknownRoute: // nothing was decided
		default:
			recordedAs(t, s, name, resp)
		}
		if (resp.StatusCode == 401) != (resp.Header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: WWW-Authenticate is %q", name, resp.Header.Get("WWW-Authenticate"))
		}
	}
	release := s.App.HoldCopies()
	held = true
	resp, e := ask(http.MethodPost, local, all)
	if e.Code != api.Overloaded || e.RetryAfterMS != 1000 || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("a second backup: got %+v and Retry-After %q", e, resp.Header.Get("Retry-After"))
	}
	recordedAs(t, s, "a second backup", resp)
	release()
	held = false
	if resp, _ := ask(http.MethodPost, local, all); resp.StatusCode != 200 {
		t.Errorf("afterwards: got %d", resp.StatusCode)
	}
}

// recordedAs wants a record of the decision that resp names, with the status of resp.
func recordedAs(t *testing.T, s *proxytest.Server, name string, resp *http.Response) {
	t.Helper()
	id := resp.Header.Get("X-Keyhole-Decision")
	log, err := os.ReadFile(filepath.Join(s.Dir, "audit/audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		var r struct {
			ID     string
			Result struct{ Status int }
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.ID == id {
			if r.Result.Status != resp.StatusCode {
				t.Errorf("%s: recorded as %d, answered with %d", name, r.Result.Status, resp.StatusCode)
			}
			return
		}
	}
	t.Errorf("%s: no record of the decision %q", name, id)
}
