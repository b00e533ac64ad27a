package vault_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault"
)

// scripted is an upstream whose vault is the test itself: logins succeed, everything else is for answer.
func scripted(t *testing.T, version int, answer func(http.ResponseWriter, *http.Request) bool) (secret.Upstream, *edge) {
	t.Helper()
	e := newEdge(t, "")
	logins := &issuer{ttl: 3600, renewable: true}
	e.interpose(func(w http.ResponseWriter, r *http.Request) bool { return logins.answer(w, r) || answer(w, r) })
	return open(t, vault.Config{Address: e.URL, Mount: "kv", Version: version, Login: vault.AppRole("approle", constant("role"), constant("sesame"))}), e
}

// issuer answers logins.
type issuer struct {
	ttl       int
	renewable bool
	refuse    atomic.Bool
	logins    atomic.Int64
	renewals  atomic.Int64
	hold      chan struct{} // logins wait for it, if it is there
}

func (i *issuer) answer(w http.ResponseWriter, r *http.Request) bool {
	if !isLogin(r) {
		return false
	}
	if i.hold != nil {
		select {
		case <-i.hold:
		case <-r.Context().Done():
			return true
		}
	}
	token := r.Header.Get("X-Vault-Token")
	switch {
	case i.refuse.Load():
		reply(w, 403, `{"errors":["permission denied"]}`)
	case strings.HasSuffix(r.URL.Path, "renew-self"):
		i.renewals.Add(1)
		reply(w, 200, fmt.Sprintf(`{"lease_id":"","auth":{"client_token":%q,"lease_duration":%d,"renewable":%t}}`, token, i.ttl, i.renewable))
	case strings.HasSuffix(r.URL.Path, "lookup-self"):
		if !strings.HasPrefix(token, "t-") { // one that we gave is asked about, and not logged in with
			i.logins.Add(1)
		}
		reply(w, 200, fmt.Sprintf(`{"lease_id":"","data":{"ttl":%d,"renewable":%t}}`, i.ttl, i.renewable))
	default:
		n := i.logins.Add(1)
		reply(w, 200, fmt.Sprintf(`{"lease_id":"","auth":{"client_token":"t-%d","lease_duration":%d,"renewable":%t}}`, n, i.ttl, i.renewable))
	}
	return true
}

const (
	goodV1  = `{"lease_id":"","lease_duration":2764800,"data":{"a":"1"}}`
	meta    = `"metadata":{"created_time":"2026-01-02T03:04:05.6Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":7}`
	goodV2  = `{"lease_id":"","data":{"data":{"a":"1"},` + meta + `}}`
	deleted = `{"lease_id":"","data":{"data":null,"metadata":{"created_time":"2026-01-02T03:04:05Z","deletion_time":"2026-01-02T03:04:06Z","destroyed":false,"version":7}}}`
)

// What each answer means.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version int
		status  int
		body    string
		want    error // nil: a secret
	}{
		{"value", 1, 200, goodV1, nil},
		{"value and version", 2, 200, goodV2, nil},
		{"no such secret", 1, 404, `{"errors":[]}`, secret.ErrNotFound},
		{"no such secret", 2, 404, `{"errors":[]}`, secret.ErrNotFound},
		{"deleted", 2, 404, deleted, secret.ErrNotFound},
		{"no such mount", 2, 404, `{"errors":["no handler for route \"kv/data/x\". route entry not found."]}`, vault.ErrNoRoute},
		{"no such namespace", 2, 404, `{"errors":["namespace not found"]}`, vault.ErrNoRoute},
		{"engine of the other version", 1, 404, `{"lease_id":"","data":null,"warnings":["Invalid path for a versioned K/V secrets engine."]}`, vault.ErrNoRoute},
		{"engine of the other version, in other words", 1, 404, `{"errors":[],"warnings":["Invalid path for a versioned K/V secrets engine."]}`, vault.ErrNoRoute},
		{"404 of a gateway", 2, 404, `<html>404</html>`, vault.ErrNoRoute},
		{"404 of a gateway in JSON", 2, 404, `{"error":"not found"}`, vault.ErrNoRoute},
		{"404 of a gateway in JSON, an array", 2, 404, `[]`, vault.ErrNoRoute},
		{"404 of nobody", 2, 404, ``, vault.ErrNoRoute},
		{"404 with errors that are none", 2, 404, `{"errors":{}}`, vault.ErrNoRoute},
		{"404 with a value", 2, 404, goodV2, vault.ErrNoRoute},
		{"denied", 2, 403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`, secret.ErrDenied},
		{"403 of a gateway", 2, 403, `<html>forbidden</html>`, secret.ErrUnavailable},
		{"403 of a gateway in JSON", 2, 403, `{"message":"forbidden"}`, secret.ErrUnavailable},
		{"403 of a firewall that has errors too", 2, 403, `{"success":false,"errors":["blocked"]}`, secret.ErrUnavailable},
		{"403 of a firewall whose errors are objects", 2, 403, `{"errors":[{"code":1020,"message":"blocked"}]}`, secret.ErrUnavailable},
		{"404 of a service that has errors too", 2, 404, `{"errors":[],"path":"/v1/kv/data/x"}`, vault.ErrNoRoute},
		{"403 without errors", 2, 403, `{"errors":[]}`, secret.ErrUnavailable},
		{"bad request", 2, 400, `{"errors":["bad"]}`, secret.ErrUnavailable},
		{"unsupported operation", 2, 405, `{"errors":["unsupported operation"]}`, secret.ErrUnavailable},
		{"replica is behind", 2, 412, `{"errors":["required index state not present"]}`, secret.ErrUnavailable},
		{"quota", 2, 429, `{"errors":["rate limit quota exceeded"]}`, secret.ErrThrottled},
		{"429 of a gateway", 2, 429, `slow down`, secret.ErrThrottled},
		{"disaster recovery replica", 2, 472, `{"errors":[]}`, secret.ErrUnavailable},
		{"performance replica", 2, 473, `{"errors":[]}`, secret.ErrUnavailable},
		{"error", 2, 500, `{"errors":["internal error"]}`, secret.ErrUnavailable},
		{"bad gateway", 2, 502, `<html>`, secret.ErrUnavailable},
		{"sealed", 2, 503, `{"errors":["Vault is sealed"]}`, secret.ErrUnavailable},
		{"page of a portal", 2, 200, `<html>log in</html>`, vault.ErrMalformed},
		{"nothing", 2, 200, ``, vault.ErrMalformed},
		{"array", 2, 200, `[]`, vault.ErrMalformed},
		{"two documents", 2, 200, goodV2 + goodV2, vault.ErrMalformed},
		{"name twice", 2, 200, `{"lease_id":"","data":{"data":{"a":"1","a":"2"},` + meta + `}}`, vault.ErrMalformed},
		{"no data", 2, 200, `{"lease_id":"","data":null}`, vault.ErrMalformed},
		{"no data", 1, 200, `{"lease_id":""}`, vault.ErrMalformed},
		{"data null", 2, 200, `{"data":{"data":null,` + meta + `}}`, vault.ErrMalformed},
		{"data a list", 1, 200, `{"data":["a"]}`, vault.ErrMalformed},
		{"version 1 in place of 2", 2, 200, goodV1, vault.ErrMalformed},
		{"no version", 2, 200, strings.Replace(goodV2, `"version":7`, `"version":0`, 1), vault.ErrMalformed},
		{"version in words", 2, 200, strings.Replace(goodV2, `"version":7`, `"version":"7"`, 1), vault.ErrMalformed},
		{"bad time", 2, 200, strings.Replace(goodV2, `2026-01-02T03:04:05.6Z`, `yesterday`, 1), vault.ErrMalformed},
		{"bad metadata", 2, 200, strings.Replace(goodV2, `"custom_metadata":null`, `"custom_metadata":{"a":1}`, 1), vault.ErrMalformed},
		{"metadata of another kind", 2, 200, strings.Replace(goodV2, `"custom_metadata":null`, `"custom_metadata":[]`, 1), vault.ErrMalformed},
		{"leased", 1, 200, `{"lease_id":"db/creds/x/1","lease_duration":60,"renewable":true,"data":{"password":"x"}}`, secret.ErrLeased},
		{"leased", 2, 200, strings.Replace(goodV2, `"lease_id":""`, `"lease_id":"x"`, 1), secret.ErrLeased},
		{"wrapped", 1, 200, `{"lease_id":"","data":{"a":"1"},"wrap_info":{"token":"x"}}`, vault.ErrMalformed},
		{"redirect", 2, 307, ``, secret.ErrUnavailable},
		{"too many fields", 1, 200, `{"data":{` + manyFields(secret.MaxFields+1) + `}}`, secret.ErrInvalidSecret},
		{"field name", 1, 200, `{"data":{"a\u0007":"1"}}`, secret.ErrInvalidSecret},
		{"too much metadata", 2, 200, strings.Replace(goodV2, `"custom_metadata":null`, `"custom_metadata":{"a":"`+strings.Repeat("x", secret.MaxMetadataBytes)+`"}`, 1), secret.ErrInvalidSecret},
		{"too deep", 2, 200, strings.Replace(goodV2, `"1"`, strings.Repeat("[", 200)+strings.Repeat("]", 200), 1), secret.ErrTooLarge},
		{"too many parts", 1, 200, `{"data":{"a":[` + strings.Repeat("1,", 100_000) + `1]}}`, secret.ErrTooLarge},
		{"a failure too deep", 2, 503, strings.Repeat("[", 200) + strings.Repeat("]", 200), secret.ErrUnavailable},
		{"too large", 1, 200, `{"data":{"a":"` + strings.Repeat("x", secret.MaxValueBytes) + `"}}`, secret.ErrTooLarge},
	} {
		t.Run(fmt.Sprintf("%d/%s", tt.version, tt.name), func(t *testing.T) {
			u, _ := scripted(t, tt.version, always(tt.status, tt.body))
			s, err := u.Read(t.Context(), "x", secret.Current)
			if (s != nil) != (tt.want == nil) {
				t.Errorf("got %v and %v", s, err)
			}
			if tt.want != nil {
				wantKind(t, "reading", err, tt.want)
			}
		})
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"f%d":"1"`, i)
	}
	return b.String()[1:]
}

func TestSecretFromAnswer(t *testing.T) {
	body := `{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"mount_type":"kv","data":{"data":{
		"text":"é \u2028 \"q\" <&>", "a":"lower", "A":"upper", "empty":"", "number":12345678901234567890.50, "yes":true, "no":false,
		"nothing":null, "list":[1, "zwei" , {"x": null}], "map":{ "z": 1, "a": "\u0007" }},
		"metadata":{"created_time":"2026-01-02T03:04:05.678901234+02:00","custom_metadata":{"owner":"payments"},"deletion_time":"2099-01-01T00:00:00Z","destroyed":false,"version":7}},
		"wrap_info":null,"warnings":null,"auth":null}`
	u, _ := scripted(t, 2, always(200, body))
	s, err := u.Read(t.Context(), "x", secret.Current)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"text": "é \u2028 \"q\" <&>", "a": "lower", "A": "upper", "empty": "", "number": "12345678901234567890.50", "yes": "true", "no": "false",
		"nothing": "null", "list": `[1,"zwei",{"x":null}]`, "map": `{"z":1,"a":"\u0007"}`,
	}
	if len(s.Fields) != len(want) {
		t.Errorf("got %d fields, want %d", len(s.Fields), len(want))
	}
	for name, text := range want {
		if v, ok := s.Field(name); !ok || string(v.Reveal()) != text {
			t.Errorf("%s: got %q, want %q", name, v.Reveal(), text)
		}
	}
	if got := s.CreatedAt.String(); got != "2026-01-02 01:04:05.678901234 +0000 UTC" {
		t.Errorf("created at %s", got)
	}
	if s.Version != "7" || len(s.Metadata) != 1 || s.Metadata["owner"] != "payments" {
		t.Errorf("got version %q, metadata %v", s.Version, s.Metadata)
	}
}

// A version that was asked for by its number is that, or the answer is somebody else's.
func TestAnswerOfAnotherVersion(t *testing.T) {
	u, e := scripted(t, 2, always(200, goodV2))
	if _, err := u.Read(t.Context(), "x", "7"); err != nil {
		t.Error(err)
	}
	_, err := u.Read(t.Context(), "x", "6")
	wantKind(t, "reading version 6", err, vault.ErrMalformed)
	e.asked()
	for _, v := range []secret.Version{"0", "07", "-1", "+7", "7.0", "99999999999999999999", "x"} {
		_, err := u.Read(t.Context(), "x", v)
		wantKind(t, "reading version "+string(v), err, secret.ErrNotFound)
	}
	for _, name := range []string{"", "/", "a//b", "../sys/seal", "a/../../sys", "a?b", "a%2f..", "a b"} {
		_, err := u.Read(t.Context(), name, secret.Current)
		wantKind(t, "reading "+name, err, secret.ErrNotFound)
	}
	if calls := e.asked(); len(calls) != 0 {
		t.Errorf("the vault was asked %q about what cannot be", calls)
	}
}

// The fingerprint of version 1 changes with the content, whichever part of it, and tells nothing elsewhere.
func TestFingerprint(t *testing.T) {
	var body atomic.Value
	body.Store(goodV1)
	answer := func(w http.ResponseWriter, r *http.Request) bool { return always(200, body.Load().(string))(w, r) }
	u, _ := scripted(t, 1, answer)
	seen := map[secret.Version]string{}
	for _, b := range []string{goodV1, `{"data":{"a":"2"}}`, `{"data":{"b":"1"}}`, `{"data":{"a1":""}}`, `{"data":{"a":"","b":"1"}}`, `{"data":{"a":"b","c":""}}`} {
		body.Store(b)
		s, err := u.Read(t.Context(), "x", secret.Current)
		if err != nil {
			t.Fatal(err)
		}
		if other, dup := seen[s.Version]; dup {
			t.Errorf("%s and %s have one fingerprint", b, other)
		}
		seen[s.Version] = b
		if again, err := u.Read(t.Context(), "x", s.Version); err != nil || again.Version != s.Version {
			t.Errorf("reading by fingerprint: %v", err)
		}
	}
	other, _ := scripted(t, 1, answer)
	s, err := other.Read(t.Context(), "x", secret.Current)
	if err != nil {
		t.Fatal(err)
	}
	if _, same := seen[s.Version]; same {
		t.Error("two processes give one content the same fingerprint: it can be looked up")
	}
}
