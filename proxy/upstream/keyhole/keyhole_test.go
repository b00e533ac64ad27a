package keyhole_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/keyhole"
)

func TestAddress(t *testing.T) {
	for address, good := range map[string]bool{
		"https://keyhole.example": true, "https://keyhole.example:8443/stage/": true, "http://127.0.0.1:8640": true, "http://[::1]": true, "http://localhost": true,
		"http://keyhole.example": false, "keyhole.example": false, "ftp://x": false, "https://": false, "https://u:p@x": false, "https://x?a": false, "https://x#a": false, "": false,
	} {
		u, err := keyhole.New(keyhole.Config{Address: address, Login: keyhole.TokenFrom(constant("t"))})
		if (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
		if err == nil {
			_ = u.Close()
		}
	}
	open(t, keyhole.Config{Address: "http://keyhole.example", Insecure: true, Login: keyhole.TokenFrom(constant("t"))})
	if _, err := keyhole.New(keyhole.Config{Address: "https://keyhole.example"}); err == nil {
		t.Error("without a login there is a node")
	}
}

// answer is a good answer, with what a test replaces in it.
func answer(replace ...string) string {
	return strings.NewReplacer(replace...).Replace(
		`{"data":{"path":"a","value":"v","encoding":"utf-8","version":"3","created_at":"2026-01-02T03:04:05.678Z","metadata":{"owner":"x"}},"meta":{"cache":"hit","age_ms":1500,"stale":false,"decision":"01K"}}`)
}

func TestAnswers(t *testing.T) {
	var body string
	r := bare(t, func(w http.ResponseWriter, _ *http.Request) bool { reply(w, 200, body); return true })
	u := open(t, r.config(keyhole.TokenFrom(constant("t"))))
	body = answer()
	s := read(t, u, "a")
	if s.Version != "3" || s.CreatedAt.UnixMilli() != 1767323045678 || s.Metadata["owner"] != "x" || string(s.Value.Reveal()) != "v" || s.Age.Milliseconds() != 1500 || s.Stale {
		t.Errorf("got %+v", s)
	}
	body = answer(`"value":"v","encoding":"utf-8"`, `"fields":{"b":"2","B":"3","a":"1"}`, `"created_at":"2026-01-02T03:04:05.678Z",`, ``, `"stale":false`, `"stale":true`)
	s = read(t, u, "a")
	if len(s.Fields) != 3 || s.Fields[2].Name != "b" || !s.CreatedAt.IsZero() || !s.Stale {
		t.Errorf("got %+v", s)
	}
	for name, replace := range map[string][]string{
		"another path":           {`"path":"a"`, `"path":"b"`},
		"no value":               {`"value":"v",`, ``},
		"value and fields":       {`"value":"v"`, `"value":"v","fields":{}`},
		"a number":               {`"value":"v"`, `"value":1`},
		"fields that are none":   {`"value":"v"`, `"fields":{"a":1}`},
		"an unknown encoding":    {`utf-8`, `hex`},
		"no base64":              {`"value":"v","encoding":"utf-8"`, `"value":"v","encoding":"base64"`},
		"no version":             {`"version":"3",`, ``},
		"a selector for version": {`"version":"3"`, `"version":"current"`},
		"no time":                {`2026-01-02T03:04:05.678Z`, `yesterday`},
		"no meta":                {`"meta"`, `"mate"`},
		"no age":                 {`1500`, `null`},
		"a negative age":         {`1500`, `-1`},
		"an age without end":     {`1500`, `9223372036854775807`},
		"not said to be fresh":   {`"stale":false`, `"stale":"no"`},
		"a name twice":           {`"version":"3"`, `"version":"3","version":"4"`},
		"metadata of numbers":    {`"owner":"x"`, `"owner":1`},
	} {
		body = answer(replace...)
		if s, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("%s: got %+v, %v", name, s, err)
		}
	}
	body = answer()
	if s, err := u.Read(t.Context(), "a", "2"); !errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("another version than asked for: got %+v, %v", s, err)
	}
	for _, name := range []string{"", "/a", "a/../b", "a b", "a?version=1", "a:versions"} {
		if s, err := u.Read(t.Context(), name, secret.Current); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("%q: got %+v, %v", name, s, err)
		}
	}
}

// Every error of the native API is one of the contract, and no other answer is.
func TestErrors(t *testing.T) {
	var status int
	var body string
	r := bare(t, func(w http.ResponseWriter, _ *http.Request) bool { reply(w, status, body); return true })
	u := open(t, r.config(keyhole.TokenFrom(constant("t"))))
	kinds := []error{
		secret.ErrNotFound, secret.ErrDenied, secret.ErrUnavailable, secret.ErrThrottled, secret.ErrTimeout, secret.ErrUnreadable, secret.ErrTooLarge, secret.ErrUnsupported,
	}
	for _, row := range []struct {
		status int
		code   string
		want   []error
	}{
		{404, "not_found", []error{secret.ErrNotFound}},
		{404, "unknown_route", []error{secret.ErrUnavailable}},
		{403, "scope_denied", []error{secret.ErrDenied}},
		{403, "policy_denied", []error{secret.ErrDenied}},
		{403, "approval_required", []error{secret.ErrDenied}},
		{403, "revoked", []error{secret.ErrDenied}},
		{401, "token_expired", []error{secret.ErrUnavailable}},
		{401, "token_revoked", []error{secret.ErrUnavailable}},
		{400, "invalid_request", []error{secret.ErrUnreadable}},
		{405, "method_not_allowed", []error{secret.ErrUnsupported}},
		{413, "too_large", []error{secret.ErrTooLarge}},
		{429, "rate_limited", []error{secret.ErrThrottled}},
		{500, "internal", []error{secret.ErrUnavailable}},
		{502, "upstream_error", []error{secret.ErrUnreadable}},
		{504, "upstream_timeout", []error{secret.ErrUnreadable, secret.ErrTimeout}},
		{503, "state_unavailable", []error{secret.ErrUnavailable}},
		{503, "audit_unavailable", []error{secret.ErrUnavailable}},
		// What a Keyhole does not say so.
		{404, "policy_denied", []error{secret.ErrUnavailable}},
		{403, "not_found", []error{secret.ErrUnavailable}},
		{403, "AccessDenied", []error{secret.ErrUnavailable}},
		{500, "AccessDenied", []error{secret.ErrUnavailable}},
		{301, "not_found", []error{secret.ErrUnavailable}},
		{204, "not_found", []error{secret.ErrUnavailable}},
	} {
		status, body = row.status, failure(row.code)
		_, err := u.Read(t.Context(), "a", secret.Current)
		for _, kind := range kinds {
			wanted := false
			for _, w := range row.want {
				wanted = wanted || errors.Is(w, kind)
			}
			if errors.Is(err, kind) != wanted {
				t.Errorf("%d %s: got %v; is it %v?", row.status, row.code, err, kind)
			}
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%d %s: the error quotes the answer: %v", row.status, row.code, err)
		}
	}
	for _, text := range []string{`{"Message":"Forbidden"}`, `<html>`, ``, `{"error":"denied"}`, `{"error":{"code":"policy_denied"},"data":1}`} {
		status, body = 403, text
		if _, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, secret.ErrUnavailable) || errors.Is(err, secret.ErrDenied) {
			t.Errorf("403 %s: got %v", text, err)
		}
	}
}

// A listing comes page by page, in order; what the region tells of a secret is told on.
func TestListAndVersions(t *testing.T) {
	r := newRegion(t, proxytest.Options{})
	u := open(t, r.config(r.byKey()))
	for i := range 7 {
		r.do(t, http.MethodPut, fmt.Sprintf("/v1/secrets/web/n%d", i), map[string]any{"value": "v", "metadata": map[string]string{"owner": "x"}})
	}
	r.put(t, "web/n0", "w")
	items, err := u.List(t.Context(), "web", "web/n1", 3)
	if err != nil || len(items) != 3 || items[0].Name != "web/n2" || items[0].Version != "1" || items[0].UpdatedAt.IsZero() || items[0].Metadata["owner"] != "x" {
		t.Errorf("got %+v, %v", items, err)
	}
	versions, err := u.Versions(t.Context(), "web/n0")
	if err != nil || len(versions) != 2 || versions[0].Version != "2" || versions[0].State != secret.StateCurrent || versions[1].State != secret.StatePrevious {
		t.Errorf("got %+v, %v", versions, err)
	}
	if got := u.CompareVersions("9", "10"); got >= 0 {
		t.Errorf("9 is not older than 10: %d", got)
	}
	pages := 0
	r.interpose(func(w http.ResponseWriter, req *http.Request) bool {
		q := req.URL.Query()
		if pages++; q.Get("prefix") != "web" || q.Get("limit") != "500" || (pages > 1) != (q.Get("page") == fmt.Sprint("p+/=", pages-1)) {
			t.Errorf("page %d: asked for %s", pages, req.URL.RawQuery)
		}
		text, _ := json.Marshal(map[string]any{"data": []map[string]string{{"path": fmt.Sprint("web/", 9-pages), "mount": ""}}, "next_page": fmt.Sprint("p+/=", pages)})
		if pages == 3 {
			text = []byte(`{"data":[]}`)
		}
		reply(w, 200, string(text))
		return true
	})
	if items, err = u.List(t.Context(), "web", "", 9); err != nil || len(items) != 2 || items[0].Name != "web/7" || items[1].Name != "web/8" {
		t.Errorf("got %+v, %v", items, err)
	}
	r.interpose(always(200, `{"data":[{"path":"web/a"}],"next_page":"again"}`))
	if _, err := u.List(t.Context(), "web", "", 9); !errors.Is(err, secret.ErrUnsupported) {
		t.Errorf("pages without end: got %v", err)
	}
	r.interpose(always(403, failure("scope_denied")))
	if _, err := u.List(t.Context(), "other", "", 9); !errors.Is(err, secret.ErrDenied) {
		t.Errorf("got %v", err)
	}
}

// What a region sends on is not followed: the token is for it alone.
func TestRedirectsAreNotFollowed(t *testing.T) {
	other := bare(t, func(w http.ResponseWriter, _ *http.Request) bool { reply(w, 200, answer()); return true })
	r := bare(t, func(w http.ResponseWriter, req *http.Request) bool {
		http.Redirect(w, req, other.URL+"/v1/secrets/a", http.StatusTemporaryRedirect)
		return true
	})
	u := open(t, r.config(keyhole.TokenFrom(constant("t"))))
	if s, err := u.Read(t.Context(), "a", secret.Current); !errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("got %+v, %v", s, err)
	}
	if got := other.asked(); len(got) != 0 {
		t.Errorf("the other was asked: %q", got)
	}
}

func TestClosed(t *testing.T) {
	r := bare(t, always(200, answer()))
	u := open(t, r.config(keyhole.TokenFrom(constant("t"))))
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Read(context.Background(), "a", secret.Current); !errors.Is(err, keyhole.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
