package awsemu

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/upstream/upstreamtest"
)

// Fault makes s fail as f says until t ends, as a Harness of the conformance suite wants. The sessions of roles are what
// is meant by a login.
func (s *Server) Fault(t *testing.T, f upstreamtest.Fault) {
	t.Helper()
	t.Cleanup(func() {
		s.Interpose(nil)
		s.RefuseRoles(false)
	})
	switch f {
	case upstreamtest.Throttled:
		s.Interpose(always(http.StatusBadRequest, `{"__type":"ThrottlingException","message":"Rate exceeded `+upstreamtest.Canary+`"}`))
	case upstreamtest.ServerError:
		s.Interpose(always(http.StatusInternalServerError, `{"__type":"InternalServiceError","Message":"`+upstreamtest.Canary+`"}`))
	case upstreamtest.Denied:
		s.Interpose(always(http.StatusBadRequest, `{"__type":"AccessDeniedException","Message":"not authorized `+upstreamtest.Canary+`"}`))
	case upstreamtest.MissingMount:
		s.Interpose(always(http.StatusNotFound, `{"__type":"com.amazon.coral.service#UnknownOperationException","message":"`+upstreamtest.Canary+`"}`))
	case upstreamtest.Malformed:
		s.Interpose(func(w http.ResponseWriter, r *http.Request, action string) bool {
			if isLogin(action) {
				return false
			}
			s.Interpose(nil)
			whole := httptest.NewRecorder()
			s.ServeHTTP(whole, r)
			s.Fault(t, upstreamtest.Malformed)
			w.WriteHeader(whole.Code)
			_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
			return true
		})
	case upstreamtest.Oversized:
		s.Interpose(func(w http.ResponseWriter, r *http.Request, action string) bool {
			if isLogin(action) {
				return false
			}
			_, _ = io.WriteString(w, `{"Name":"`)
			for piece := strings.Repeat(upstreamtest.Canary, 1000); r.Context().Err() == nil; {
				if _, err := io.WriteString(w, piece); err != nil {
					break
				}
			}
			return true
		})
	case upstreamtest.Silent:
		s.Interpose(func(_ http.ResponseWriter, r *http.Request, _ string) bool { <-r.Context().Done(); return true })
	case upstreamtest.Gateway:
		s.Interpose(always(http.StatusNotFound, "<html><body>404 "+upstreamtest.Canary+"</body></html>"))
	case upstreamtest.LoginRefused:
		s.ExpireSessions()
		s.RefuseRoles(true)
	case upstreamtest.LoginExpired:
		s.ExpireSessions()
	default:
		t.Skipf("no way to make %v", f)
	}
}

func isLogin(action string) bool { return strings.HasPrefix(action, "sts:") }

// always gives every request but logins the same answer.
func always(status int, body string) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, _ *http.Request, action string) bool {
		if isLogin(action) {
			return false
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}
