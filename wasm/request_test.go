package wasm_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm"
)

func allInputs() []string {
	return []string{
		"action", "secret.path", "secret.mount", "secret.version", "principal.trust", "principal.issuer",
		"principal.subject", "principal.authenticated_by", "context.region", "context.source_ip", "context.surface",
		"context.user_agent", "context.deployment", "context.anomaly", "context.approval",
		"principal.token_expires", "principal.scopes", "principal.claims", "secret.labels",
	}
}

const fullJSON = `{"version":1,"action":"read",` +
	`"secret":{"path":"web/production/STRIPE_KEY","mount":"web/production","version":"v3","labels":{"classification":"restricted","team":"pay"}},` +
	`"principal":{"trust":"vercel-web","issuer":"https://oidc.example","subject":"owner:acme","scopes":["read:web/production/*","list:web/**"],` +
	`"claims":{"environment":"production","project_id":"prj_1"},"token_expires":1763722800,"authenticated_by":"oidc"},` +
	`"context":{"time_ms":1763719200123,"region":"eu-west-1","source_ip":"203.0.113.7","surface":"native","user_agent":"curl/8","deployment":"dpl_1","anomaly":42,"approval":null}}`

const emptyJSON = `{"version":1,"action":"","secret":{"path":"","mount":"","version":"","labels":{}},` +
	`"principal":{"trust":"","issuer":"","subject":"","scopes":[],"claims":{},"token_expires":0,"authenticated_by":""},` +
	`"context":{"time_ms":0,"region":"","source_ip":"","surface":"","user_agent":"","deployment":"","anomaly":0,"approval":null}}`

func encode(t testing.TB, encoding string, inputs []string, now bool, r *policy.Request) []byte {
	t.Helper()
	out, ok := wasm.Encode(encoding, inputs, now, r)
	if !ok {
		t.Fatal("too large")
	}
	return out
}

func TestJSONIsCanonical(t *testing.T) {
	if got := string(encode(t, "json", allInputs(), true, request(t))); got != fullJSON {
		t.Errorf("got  %s\nwant %s", got, fullJSON)
	}
	if got := string(encode(t, "json", nil, false, request(t))); got != emptyJSON {
		t.Errorf("got  %s\nwant %s", got, emptyJSON)
	}
	r := request(t)
	r.Principal.Expires = time.Time{}
	if got := string(encode(t, "json", []string{"principal.token_expires"}, false, r)); got != emptyJSON {
		t.Errorf("an unknown end of the token: %s", got)
	}
}

// flat is a decoded flat1 request.
type flat struct {
	Now, Expires   int64
	Slots, Scopes  []string
	Claims, Labels []policy.Pair
}

// decodeFlat1 reads flat1 as a guest would, with every check of ABI.md.
func decodeFlat1(b []byte) (f flat, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	le := binary.LittleEndian
	if string(b[:4]) != "KPR1" || int(le.Uint32(b[4:])) != len(b) {
		return f, errors.New("bad magic or total")
	}
	f.Now, f.Expires = int64(le.Uint64(b[8:])), int64(le.Uint64(b[16:]))
	at := 40
	text := func() string {
		off, n := le.Uint32(b[at:]), le.Uint32(b[at+4:])
		at += 8
		if n == 0 && off != 0 {
			panic("an empty text is not {0, 0}")
		}
		return string(b[off : off+n])
	}
	for range le.Uint32(b[24:]) {
		f.Slots = append(f.Slots, text())
	}
	for range le.Uint32(b[28:]) {
		f.Scopes = append(f.Scopes, text())
	}
	for range le.Uint32(b[32:]) {
		f.Claims = append(f.Claims, policy.Pair{Name: text(), Value: text()})
	}
	for range le.Uint32(b[36:]) {
		f.Labels = append(f.Labels, policy.Pair{Name: text(), Value: text()})
	}
	return f, nil
}

func TestFlat1(t *testing.T) {
	r := request(t)
	got, err := decodeFlat1(encode(t, "flat1", allInputs(), true, r))
	want := flat{
		Now: 1763719200123, Expires: 1763722800,
		Slots: []string{
			"read", "web/production/STRIPE_KEY", "web/production", "v3", "vercel-web", "https://oidc.example",
			"owner:acme", "oidc", "eu-west-1", "203.0.113.7", "native", "curl/8", "dpl_1", "42", "",
		},
		Scopes: []string{"read:web/production/*", "list:web/**"},
		Claims: r.Principal.Claims, Labels: r.Labels,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (%v)\nwant %+v", got, err, want)
	}
	got, err = decodeFlat1(encode(t, "flat1", nil, false, r))
	if want := (flat{Slots: make([]string, 15)}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("nothing declared: got %+v (%v)", got, err)
	}
}

// The bytes of a small request, written out: what guests are built against.
func TestFlat1Bytes(t *testing.T) {
	got := encode(t, "flat1", []string{"action", "context.anomaly", "principal.claims.environment"}, false, request(t))
	entry := func(off, n byte) string { return string([]byte{off, 0, 0, 0, n, 0, 0, 0}) }
	want := "KPR1" + "\xc7\x00\x00\x00" + strings.Repeat("\x00", 16) +
		"\x0f\x00\x00\x00" + "\x00\x00\x00\x00" + "\x01\x00\x00\x00" + "\x00\x00\x00\x00" +
		entry(176, 4) + strings.Repeat("\x00", 12*8) + entry(180, 2) + entry(0, 0) +
		entry(182, 11) + entry(193, 10) +
		"read42environmentproduction"
	want = strings.Replace(want, "\xc7", string([]byte{byte(len(want))}), 1)
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Every input shows itself and nothing else, in both encodings.
func TestProjection(t *testing.T) {
	r := request(t)
	empty := encode(t, "flat1", nil, false, r)
	for _, in := range append(allInputs(), "principal.claims.project_id", "secret.labels.team") {
		if in == "context.approval" {
			continue // always empty in this version
		}
		if string(encode(t, "flat1", []string{in}, false, r)) == string(empty) {
			t.Errorf("flat1: %s is declared and not seen", in)
		}
		if string(encode(t, "json", []string{in}, false, r)) == emptyJSON {
			t.Errorf("json: %s is declared and not seen", in)
		}
	}
	got, err := decodeFlat1(encode(t, "flat1", []string{"principal.claims.project_id", "secret.labels.team"}, false, r))
	want := flat{Slots: make([]string, 15), Claims: r.Principal.Claims[1:], Labels: r.Labels[1:]}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (%v)\nwant %+v", got, err, want)
	}
	named := string(encode(t, "json", []string{"principal.claims.project_id", "principal.claims.none"}, false, r))
	if want := strings.Replace(emptyJSON, `"claims":{}`, `"claims":{"project_id":"prj_1"}`, 1); named != want {
		t.Errorf("got %s", named)
	}
}

// An undeclared input cannot matter: requests that differ in it alone are the same bytes.
func TestUndeclaredInputsCannotMatter(t *testing.T) {
	a, b := request(t), request(t)
	b.Principal.Subject, b.Context.SourceIP, b.Labels, b.Context.Time = "x", "y", nil, time.UnixMilli(1)
	for _, encoding := range []string{"json", "flat1"} {
		inputs := []string{"action", "secret.path", "principal.scopes", "principal.claims"}
		if string(encode(t, encoding, inputs, false, a)) != string(encode(t, encoding, inputs, false, b)) {
			t.Errorf("%s: the requests differ", encoding)
		}
	}
}

func TestJSONEscapes(t *testing.T) {
	rows := []struct{ in, want string }{
		{`plain`, `plain`},
		{`"},{"`, `\"},{\"`},
		{`back\slash`, `back\\slash`},
		{"\b\f\n\r\t", `\b\f\n\r\t`},
		{"\x00\x01\x1f\x7f", "\\u0000\\u0001\\u001f\x7f"},
		{"é€😀\u2028", "é€😀\u2028"},
		{"<&>", "<&>"},
		{"a\xffb\xc3", "a\uFFFDb\uFFFD"},
		{"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"}, // a surrogate
		{"\xff\"\xfe\n", "\uFFFD\\\"\uFFFD\\n"},
		{"\uFFFD", "\uFFFD"},
	}
	for _, row := range rows {
		r := request(t)
		r.Principal.Subject = row.in
		want := strings.Replace(emptyJSON, `"subject":""`, `"subject":"`+row.want+`"`, 1)
		if got := string(encode(t, "json", []string{"principal.subject"}, false, r)); got != want {
			t.Errorf("%q: got %s", row.in, got)
		}
	}
}

func TestRequestSizeIsBounded(t *testing.T) {
	for _, encoding := range []string{"json", "flat1"} {
		r := request(t)
		inputs := []string{"principal.claims"}
		over := len(encode(t, encoding, inputs, false, r))
		r.Principal.Claims = []policy.Pair{{Name: "n", Value: ""}}
		fixed := len(encode(t, encoding, inputs, false, r))
		r.Principal.Claims[0].Value = strings.Repeat("x", 64<<10-fixed)
		if got := len(encode(t, encoding, inputs, false, r)); got != 64<<10 {
			t.Errorf("%s: %d bytes", encoding, got)
		}
		r.Principal.Claims[0].Value += "x"
		if _, ok := wasm.Encode(encoding, inputs, false, r); ok {
			t.Errorf("%s: one byte too many is accepted (%d)", encoding, over)
		}
		r.Principal.Claims = make([]policy.Pair, 100_000)
		if _, ok := wasm.Encode(encoding, inputs, false, r); ok {
			t.Errorf("%s: 100,000 claims are accepted", encoding)
		}
	}
}

func TestLargeRequestDenies(t *testing.T) {
	m := guest(t, "echo", `"encoding":"json"`, `"inputs":["principal.claims"]`)
	c := chain(t, m)
	r := request(t)
	r.Principal.Claims = []policy.Pair{{Name: "n", Value: strings.Repeat("x", 70_000)}}
	if got := c.Authorize(t.Context(), r); got.Effect != policy.Deny || !errors.Is(got.Fault, wasm.ErrRequestTooLarge) {
		t.Errorf("got %v, fault %v", got.Effect, got.Fault)
	}
	r.Principal.Claims = nil
	if got := c.Authorize(t.Context(), r); got.Effect != policy.Allow {
		t.Errorf("the next decision: %+v", got)
	}
}

// The guest hands back what it was given: the request arrives whole, also when it outgrows the buffer.
func TestGuestSeesTheRequest(t *testing.T) {
	c := chain(t, guest(t, "echo", `"encoding":"json"`, `"inputs":["action","principal.subject"]`, `"time":"ttl"`))
	r := request(t)
	got := c.Authorize(t.Context(), r)
	want := strings.Replace(strings.Replace(emptyJSON, `"action":""`, `"action":"read"`, 1), `"subject":""`, `"subject":"owner:acme"`, 1)
	want = strings.Replace(want, `"time_ms":0`, `"time_ms":1763719200123`, 1)
	if !strings.HasPrefix(want, got.Reason) || len(got.Reason) != 256 {
		t.Errorf("fault %v, reason %q", got.Fault, got.Reason)
	}
	for _, n := range []int{5000, 10, 12_000} {
		r.Principal.Subject = strings.Repeat("s", n)
		if got := c.Authorize(t.Context(), r); got.Effect != policy.Allow {
			t.Errorf("subject of %d bytes: %+v", n, got)
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("subject", "name", "value", int64(1))
	f.Add("\xff\x00\"\\", "", "\u2028", int64(-1))
	f.Fuzz(func(t *testing.T, subject, name, value string, ms int64) {
		r := request(t)
		r.Principal.Subject = subject
		r.Principal.Claims = []policy.Pair{{Name: name, Value: value}}
		r.Context.Time = time.UnixMilli(ms)
		if out, ok := wasm.Encode("json", allInputs(), true, r); ok {
			var doc struct {
				Principal struct {
					Subject string
					Claims  map[string]string
				}
				Context struct {
					TimeMS int64 `json:"time_ms"`
				}
			}
			if err := json.Unmarshal(out, &doc); err != nil || !utf8.Valid(out) {
				t.Fatalf("%q: %v", out, err)
			}
			clean := func(s string) string { return string([]rune(s)) }
			if doc.Principal.Subject != clean(subject) || doc.Principal.Claims[clean(name)] != clean(value) || doc.Context.TimeMS != ms {
				t.Fatalf("%+v came from %q %q %q %d", doc, subject, name, value, ms)
			}
		}
		if out, ok := wasm.Encode("flat1", allInputs(), true, r); ok {
			got, err := decodeFlat1(out)
			if err != nil || got.Slots[6] != subject || got.Claims[0] != r.Principal.Claims[0] || got.Now != ms {
				t.Fatalf("%+v (%v)", got, err)
			}
		}
	})
}
