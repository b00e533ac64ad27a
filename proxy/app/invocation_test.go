package app_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
)

// A request has half of what its invocation has left, and a second at least.
func TestTimeOfAnInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var has time.Duration // 0: all that there is
		h, invoked := app.Within(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			has = 0
			if end, ok := r.Context().Deadline(); ok {
				has = time.Until(end)
			}
		}), time.Now)
		want := func(what string, want, waited time.Duration) {
			t.Helper()
			began := time.Now()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			if took := time.Since(began); has != want || took != waited {
				t.Errorf("%s: got %v after %v, want %v after %v", what, has, took, want, waited)
			}
		}
		want("before the first invocation", 0, 0)
		invoked(time.Now().Add(6 * time.Second))
		want("in one", 3*time.Second, 0)
		time.Sleep(5 * time.Second)
		want("at its end", time.Second, 0)
		time.Sleep(time.Second)
		want("after it", 0, 100*time.Millisecond)
		time.AfterFunc(10*time.Millisecond, func() { invoked(time.Now().Add(8 * time.Second)) })
		want("before the word of the next", 4*time.Second, 10*time.Millisecond)
		invoked(time.Now().Add(-time.Hour))
		want("with a clock that differs", 0, 100*time.Millisecond)
	})
}
