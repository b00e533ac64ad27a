package lambdahttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// maxHeaderBytes is what the server takes of headers as well.
const maxHeaderBytes = 16 << 10

// message is a request of any source, before it is one of net/http.
type message struct {
	form    form // of the answer
	method  string
	path    string
	decoded bool // path was decoded by the source
	query   string
	header  http.Header
	source  string // HOST:0, "" where the source does not say
	body    []byte // wiped when the request was served
	broken  error  // of the body
}

var errEscape = errors.New("a percent escape is malformed")

// body takes the body out of the event, which is wiped apart from it.
func (e event) body(m *message) {
	n := e.at("body")
	if n == nil || n.Kind != strictjson.String || len(n.Text) == 0 {
		return
	}
	if b := e.at("isBase64Encoded"); b == nil || !b.Bool {
		m.body = bytes.Clone(n.Text)
		return
	}
	m.body = make([]byte, base64.StdEncoding.DecodedLen(len(n.Text)))
	k, err := base64.StdEncoding.Strict().Decode(m.body, n.Text)
	if err != nil {
		m.broken = errors.New("the body is not base64")
	}
	m.body = m.body[:k]
}

// request is m as a server would have read it from a connection.
func (m *message) request(ctx context.Context) (*http.Request, error) {
	if m.path == "" {
		m.path = "/"
	}
	u := &url.URL{Path: m.path, RawQuery: m.query}
	if !m.decoded {
		path, err := url.PathUnescape(m.path)
		if err != nil {
			return nil, errEscape
		}
		if u.Path = path; u.EscapedPath() != m.path {
			u.RawPath = m.path
		}
	}
	r := &http.Request{
		Method: m.method, URL: u, RequestURI: u.RequestURI(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: m.header, Host: m.header.Get("Host"), RemoteAddr: m.source,
		Body: http.NoBody, ContentLength: int64(len(m.body)),
	}
	delete(m.header, "Host")
	switch {
	case m.broken != nil:
		r.Body, r.ContentLength = io.NopCloser(failing{m.broken}), -1
	case len(m.body) > 0:
		r.Body = io.NopCloser(bytes.NewReader(m.body))
	}
	return r.WithContext(ctx), nil
}

// headerBytes is the size of the headers as lines of HTTP/1.1.
func (m *message) headerBytes() int {
	n := 0
	for name, values := range m.header {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n
}

// failing is a body that ends in an error.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }
