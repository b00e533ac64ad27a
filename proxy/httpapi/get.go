package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// get serves GET /v1/secrets/{path}.
func (n *Native) get(w http.ResponseWriter, r *http.Request, name string) error {
	path, err := parsePath(name)
	if err != nil {
		return err
	}
	req := proxy.ReadRequest{Path: path}
	q, err := query(r, "version", "field")
	if err != nil {
		return err
	}
	if q != nil {
		if req.Version, err = secret.ParseVersion(q.Get("version")); err != nil || q.Has("version") && q.Get("version") == "" {
			return fail(api.InvalidRequest, "version is current, previous or a version's name of [A-Za-z0-9._-]{1,128}")
		}
		req.Field = q.Get("field")
		if q.Has("field") && (req.Field == "" || len(req.Field) > secret.MaxFieldNameBytes) {
			return fail(api.InvalidRequest, "field is the name of one field, 1 to 128 bytes")
		}
	}
	if tags := r.Header["If-None-Match"]; len(tags) > 0 {
		req.Unchanged = func(etag string) bool { return matchesTag(tags, etag) }
	}
	c, err := n.call(r)
	if err != nil {
		return err
	}
	a, err := n.proxy.Read(r.Context(), &c, req)
	if err != nil {
		return err
	}
	defer a.Release()
	n.release(w, &a, false)
	return nil
}

// getName serves GET /api/runtime/secrets/{NAME}.
func (n *Native) getName(w http.ResponseWriter, r *http.Request, name string) error {
	path, err := parsePath(name)
	if err != nil {
		return err
	}
	c, err := n.plainCall(r)
	if err != nil {
		return err
	}
	a, err := n.proxy.ReadName(r.Context(), &c, path)
	if err != nil {
		return err
	}
	defer a.Release()
	n.release(w, &a, true)
	return nil
}

// buffers hold answers while they are written; they are wiped before they are put back.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxPooledBuffer keeps a rare large answer from staying in memory.
const maxPooledBuffer = 64 << 10

// take borrows an empty buffer for send.
func take() *[]byte {
	buf := buffers.Get().(*[]byte)
	*buf = (*buf)[:0]
	return buf
}

// release sends the answer, in the form of the runtime-secret route or of the value route. Its record has been
// acknowledged by now.
func (n *Native) release(w http.ResponseWriter, a *proxy.Answer, runtimeForm bool) {
	h := w.Header()
	own := []string{a.Decision, ageText(a.Age), a.ETag} // one allocation for the three
	h["X-Keyhole-Decision"], h["Age"], h["Etag"] = own[0:1:1], own[1:2:2], own[2:3:3]
	h["X-Keyhole-Cache"] = cacheHeader(a)
	if a.Unchanged {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	buf := take()
	if runtimeForm {
		*buf = appendRuntimeSecret(*buf, a)
	} else {
		*buf = appendSecret(*buf, a)
	}
	send(w, buf)
}

// send writes an answer with values, wipes the buffer and gives it back.
func send(w http.ResponseWriter, buf *[]byte) {
	b := *buf
	h := w.Header()
	h["Content-Type"] = headerJSON
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	_, _ = w.Write(b)
	clear(b[:cap(b)])
	if cap(b) > maxPooledBuffer {
		*buf = nil
	}
	buffers.Put(buf)
}

var (
	cacheHit  = []string{"hit"}
	cacheMiss = []string{"miss"}
)

func cacheHeader(a *proxy.Answer) []string {
	switch a.State {
	case "hit":
		return cacheHit
	case "miss":
		return cacheMiss
	}
	return []string{a.State}
}

func ageText(age time.Duration) string { return strconv.FormatInt(int64(age/time.Second), 10) }

// matchesTag compares weakly, as RFC 9110 section 13.1.2 wants for If-None-Match.
func matchesTag(headers []string, etag string) bool {
	for _, h := range headers {
		for tag := range strings.SplitSeq(h, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
