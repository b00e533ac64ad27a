package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/httpapi"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// caller sends requests, each from an address of its own, so that no rate is in the way.
type caller struct {
	*httpapi.Native
	n int
}

func (c *caller) send(t *testing.T, request, token, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	method, target, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(method, target, http.NoBody)
	}
	c.n++
	r.RemoteAddr = fmt.Sprintf("198.51.%d.%d:1", c.n/250, c.n%250)
	r.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

var ids = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{26}`)

// answer is all that a caller sees but for the IDs of decisions, which are as long as one another.
func answer(w *httptest.ResponseRecorder) string {
	return ids.ReplaceAllString(fmt.Sprintf("%d\n%v\n%s", w.Code, w.Header(), w.Body), "ID")
}

// same fails unless all of the requests are answered alike, with this status and code.
func (c *caller) same(t *testing.T, token string, status int, code string, requests ...string) {
	t.Helper()
	var first string
	for i, request := range requests {
		request, body, _ := strings.Cut(request, " <<")
		w := c.send(t, request, token, body)
		if w.Code != status || !strings.Contains(w.Body.String(), `"code":"`+code+`"`) {
			t.Errorf("%s: got %d %s, want %d %s", request, w.Code, w.Body, status, code)
		}
		got := answer(w)
		if i == 0 {
			first = got
		}
		if got != first {
			t.Errorf("%s differs from %s:\n%s\n%s", request, requests[0], got, first)
		}
	}
}

// I9: whoever may not know gets one answer, to the byte, whether there is such a secret, hook, revocation or mount, or not.
func TestAnswersDoNotTellWhatExists(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys", "hook.key"), []byte(strings.Repeat("k", 64)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := proxytest.NewServer(t, proxytest.Options{Dir: dir, Document: proxytest.Document + "hooks:\n  rotation: {key: \"file:keys/hook.key\", allow: [\"web/**\"]}\n"})
	c := &caller{Native: over(t, s)}
	mint := func(scope, subject string) string {
		return proxytest.Issuer(s.Config)(t, map[string]string{"scope": scope, "subject": subject, "base": "web/production"})
	}
	const all = "read:** list:** write:** revoke:**"
	admin := mint(all, "admin")
	for _, name := range []string{"web/production/HAVE", "web/preview/HAVE"} {
		if w := c.send(t, "PUT /v1/secrets/"+name, admin, `{"value":"v"}`); w.Code != http.StatusCreated {
			t.Fatalf("%s: got %d %s", name, w.Code, w.Body)
		}
	}

	places := []string{"web/production/HAVE", "web/production/MISS", "web/production/MI/SS", "no/mount/HERE"}
	requests := func(format string) (out []string) {
		for _, p := range places {
			out = append(out, fmt.Sprintf(format, p))
		}
		return out
	}
	outside := mint("read:elsewhere/** list:elsewhere/** write:elsewhere/** revoke:elsewhere/** invalidate:elsewhere/**", "app")
	t.Run("outside of the scope", func(t *testing.T) {
		for _, format := range []string{
			"GET /v1/secrets/%s", "GET /v1/secrets/%s?version=previous", "GET /v1/secrets/%s?version=7", "GET /v1/secrets/%s?field=F",
			"GET /v1/secrets/%s:versions", "DELETE /v1/secrets/%s", `PUT /v1/secrets/%s <<{"value":"x"}`, `PUT /v1/secrets/%s <<{"value":"x","if_version":"0"}`,
			`POST /v1/secrets/%s:rollback <<{"version":"1"}`, `POST /v1/secrets/%s:report <<{"version":"1","outcome":"accepted"}`,
			"GET /v1/secrets?prefix=%s", `POST /v1/invalidations <<{"path":"%s"}`, `POST /v1/revocations <<{"secret":"%s","reason":"x"}`,
		} {
			c.same(t, outside, http.StatusForbidden, "scope_denied", requests(format)...)
		}
	})
	t.Run("denied by a policy", func(t *testing.T) {
		// Labels follow names, and what is restricted is denied to everybody.
		c.same(t, admin, http.StatusForbidden, "policy_denied", "GET /v1/secrets/web/production/MASTER_A", "GET /v1/secrets/web/preview/MASTER_B", "GET /v1/secrets/no/mount/MASTER_C",
			"GET /v1/secrets/web/production/MASTER_A:versions")
	})
	t.Run("missing for who may know", func(t *testing.T) {
		c.same(t, admin, http.StatusNotFound, "not_found", "GET /v1/secrets/web/production/MISS", "GET /v1/secrets/no/mount/HERE", "GET /v1/secrets/web/production/HAVE?version=7",
			"GET /v1/secrets/web/production/HAVE?field=F", "GET /v1/secrets/env/none/KEY")
	})
	t.Run("revocations", func(t *testing.T) {
		made := c.send(t, "POST /v1/revocations", admin, `{"subject":"nobody","reason":"x"}`)
		secret := c.send(t, "POST /v1/revocations", admin, `{"secret":"web/production/HAVE","reason":"x"}`)
		var one, two struct{ Data struct{ ID string } }
		if json.Unmarshal(made.Body.Bytes(), &one) != nil || json.Unmarshal(secret.Body.Bytes(), &two) != nil || one.Data.ID == "" || two.Data.ID == "" {
			t.Fatalf("got %s and %s", made.Body, secret.Body)
		}
		for _, token := range []string{outside, mint("read:**", "reader"), mint("revoke:web/preview/**", "other")} {
			c.same(t, token, http.StatusForbidden, "scope_denied", "DELETE /v1/revocations/"+one.Data.ID, "DELETE /v1/revocations/"+two.Data.ID,
				"DELETE /v1/revocations/01K00000000000000000000000", "DELETE /v1/revocations/x")
		}
		c.same(t, admin, http.StatusNotFound, "not_found", "DELETE /v1/revocations/01K00000000000000000000000", "DELETE /v1/revocations/x")
		// A revoked secret is revoked to who may read it, whether there is one or not, and out of scope to others.
		c.same(t, admin, http.StatusForbidden, "revoked", "GET /v1/secrets/web/production/HAVE", "GET /v1/secrets/web/production/HAVE?version=9", "GET /v1/secrets/web/production/HAVE?field=F")
		if w := c.send(t, "DELETE /v1/revocations/"+two.Data.ID, admin, ""); w.Code != http.StatusOK {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
	})
	t.Run("a revoked principal", func(t *testing.T) {
		gone := mint(all, "gone")
		if w := c.send(t, "POST /v1/revocations", admin, `{"subject":"gone","reason":"x"}`); w.Code != http.StatusCreated {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
		for _, format := range []string{"GET /v1/secrets/%s", "GET /v1/secrets/%s?field=F", "GET /v1/secrets/%s:versions", "DELETE /v1/secrets/%s", `PUT /v1/secrets/%s <<{"value":"x"}`} {
			c.same(t, gone, http.StatusForbidden, "revoked", requests(format)...)
		}
		c.same(t, gone, http.StatusForbidden, "revoked", "GET /v1/secrets/no/mount/MASTER_C", "GET /v1/whoami", "GET /v1/secrets?prefix=web", "DELETE /v1/revocations/x")
	})
	t.Run("hooks", func(t *testing.T) {
		var first string
		for _, name := range []string{"rotation", "no-such-hook", "x"} {
			w := c.send(t, "POST /v1/hooks/"+name, "", `{"path":"web/production/HAVE"}`,
				"X-Keyhole-Timestamp: "+strconv.FormatInt(time.Now().Unix(), 10), "X-Keyhole-Signature: "+strings.Repeat("0", 64))
			if first == "" {
				first = answer(w)
			}
			if w.Code != http.StatusUnauthorized || answer(w) != first {
				t.Errorf("%s: got %s, want %s", name, answer(w), first)
			}
		}
	})
	t.Run("tokens", func(t *testing.T) {
		unknown, err := identity.NewProjectToken("production")
		if err != nil {
			t.Fatal(err)
		}
		cut := unknown[:len(unknown)-1]
		forged := admin[:len(admin)-8] + "AAAAAAAA"
		var read, form string
		for _, token := range []string{unknown, cut, forged, "x", "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL25vYm9keS50ZXN0In0.AAAA"} {
			w := c.send(t, "GET /v1/secrets/web/production/HAVE", token, "")
			f := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "subject_token": {token}}
			x := c.send(t, "POST /v1/token", "", f.Encode(), "Content-Type: application/x-www-form-urlencoded")
			if read == "" {
				read, form = answer(w), answer(x)
			}
			if w.Code != http.StatusUnauthorized || answer(w) != read || x.Code != http.StatusBadRequest || answer(x) != form {
				t.Errorf("%s: got %s and %s, want %s and %s", token, answer(w), answer(x), read, form)
			}
		}
	})
}

// Over its rate the token endpoint answers in its own shape (RFC 6749 section 5.2), with the time to wait.
func TestTokenEndpointOverItsRate(t *testing.T) {
	s := proxytest.NewServer(t, proxytest.Options{Mono: func() time.Duration { return time.Hour }})
	c := over(t, s)
	codes := map[int]int{}
	var last *httptest.ResponseRecorder
	for i := range 100 {
		form := url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {strconv.Itoa(i)}}
		r := httptest.NewRequest(http.MethodPost, "/v1/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		last = httptest.NewRecorder()
		c.ServeHTTP(last, r)
		codes[last.Code]++
	}
	if codes[http.StatusUnauthorized] != 20 || codes[http.StatusTooManyRequests] != 80 {
		t.Errorf("got %v, want 20 of 401 and then 429", codes)
	}
	var body map[string]string
	if err := json.Unmarshal(last.Body.Bytes(), &body); err != nil || body["error"] != "temporarily_unavailable" || body["error_description"] == "" || len(body) != 2 {
		t.Errorf("got %s, %v", last.Body, err)
	}
	if last.Header().Get("Retry-After") != "1" || last.Header().Get("X-Keyhole-Decision") == "" || last.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("got %v", last.Header())
	}
}
