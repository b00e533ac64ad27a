package lambdahttp

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
)

// What is taken of an answer, less room for the headers: by Lambda, and by a load balancer, which tells its caller no more
// than 502 of what is larger.
const (
	maxAnswerBytes   = 6<<20 - 64<<10
	maxBalancerBytes = 1_000_000 - 64<<10
)

// form is how a source wants its answers.
type form int

const (
	formGateway form = iota
	formBalancer
	formBalancerMulti
)

// answer is an http.ResponseWriter in memory that can be wiped.
type answer struct {
	header http.Header
	sent   http.Header // header as it was when the status was written
	status int
	body   []byte
}

// Header implements http.ResponseWriter.
func (w *answer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Informational answers have no place in an event.
func (w *answer) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status, w.sent = status, w.header.Clone()
		delete(w.sent, "Connection")
	}
}

// Write implements http.ResponseWriter. What it outgrows is wiped.
func (w *answer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if need := len(w.body) + len(b); need > cap(w.body) {
		next := make([]byte, len(w.body), max(need, 2*cap(w.body)))
		copy(next, w.body)
		clear(w.body)
		w.body = next
	}
	w.body = append(w.body, b...)
	return len(b), nil
}

func (w *answer) wipe() {
	clear(w.body[:cap(w.body)])
	w.body = nil
}

// refuse is an answer that the API does not give.
func (w *answer) refuse(status int, code, message string) {
	w.wipe()
	w.status = status
	w.sent = http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"private, no-store"}, "X-Content-Type-Options": {"nosniff"}}
	w.body = []byte(`{"error":{"code":"` + code + `","message":"` + message + `"}}`)
}

// encode writes w as this source takes it.
func (m *message) encode(w *answer) []byte {
	most := maxAnswerBytes
	if m.form != formGateway {
		most = maxBalancerBytes
	}
	asText := utf8.Valid(w.body) && escapedLen(w.body) <= most
	if !asText && base64.StdEncoding.EncodedLen(len(w.body)) > most {
		w.refuse(http.StatusRequestEntityTooLarge, "too_large", "the answer is larger than can be returned this way; ask for less")
		asText = true
	}
	b := append(make([]byte, 0, 1024+escapedLen(w.body)), `{"statusCode":`...)
	b = strconv.AppendInt(b, int64(w.status), 10)
	switch m.form {
	case formGateway:
		b = appendSingle(append(b, `,"headers":`...), w.sent, "Set-Cookie")
		if cookies := w.sent["Set-Cookie"]; len(cookies) > 0 {
			b = appendTexts(append(b, `,"cookies":`...), cookies)
		}
	case formBalancer:
		b = appendDescription(b, w.status)
		b = appendSingle(append(b, `,"headers":`...), w.sent, "")
	case formBalancerMulti:
		b = appendDescription(b, w.status)
		b = appendMulti(append(b, `,"multiValueHeaders":`...), w.sent)
	}
	b = append(b, `,"body":`...)
	if asText {
		b = jsontext.AppendString(b, w.body)
	} else {
		b = append(base64.StdEncoding.AppendEncode(append(b, '"'), w.body), '"')
	}
	return append(strconv.AppendBool(append(b, `,"isBase64Encoded":`...), !asText), '}')
}

// escapedLen is at least what AppendString makes of b.
func escapedLen(b []byte) int {
	n := 2 + len(b)
	for _, c := range b {
		switch {
		case c == '"', c == '\\':
			n++
		case c < ' ':
			n += 5
		}
	}
	return n
}

func appendDescription(b []byte, status int) []byte {
	return jsontext.AppendString(append(b, `,"statusDescription":`...), strings.TrimSpace(strconv.Itoa(status)+" "+http.StatusText(status)))
}

// appendSingle joins the values of each name (RFC 9110 section 5.3), but for one name.
func appendSingle(b []byte, h http.Header, except string) []byte {
	b = append(b, '{')
	sep := ""
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if name == except {
			continue
		}
		b = jsontext.AppendString(append(b, sep...), name)
		b = jsontext.AppendString(append(b, ':'), strings.Join(h[name], ", "))
		sep = ","
	}
	return append(b, '}')
}

func appendMulti(b []byte, h http.Header) []byte {
	b = append(b, '{')
	sep := ""
	for _, name := range slices.Sorted(maps.Keys(h)) {
		b = jsontext.AppendString(append(b, sep...), name)
		b = appendTexts(append(b, ':'), h[name])
		sep = ","
	}
	return append(b, '}')
}

func appendTexts(b []byte, all []string) []byte {
	b = append(b, '[')
	for i, s := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsontext.AppendString(b, s)
	}
	return append(b, ']')
}
