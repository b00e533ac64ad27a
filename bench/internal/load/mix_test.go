package load_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
)

// mixed answers by the path: /STATUS, /hang until the test ends, /cut by closing the connection.
func mixed(t *testing.T, paths ...string) (load.Mix, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var status int
		switch _, err := fmt.Sscanf(r.URL.Path, "/%d", &status); {
		case err == nil:
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		case r.URL.Path == "/hang":
			<-done
		default:
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(done) })
	m := load.Mix{Addr: strings.TrimPrefix(s.URL, "http://")}
	for i, p := range paths {
		text := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", p)
		m.Requests = append(m.Requests, load.Request{Kind: i % load.Kinds, Text: text})
	}
	return m, &asked
}

// Every request that was due is counted once, as what came of it.
func TestMixOpenCountsEachOutcome(t *testing.T) {
	m, asked := mixed(t, "/200", "/201", "/503", "/404", "/cut")
	got, err := load.MixOpen(t.Context(), m, 1000, 100, time.Minute, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	want := load.Outcome{Good: 40, Shed: 20, Other: 20, Broken: 20, Elapsed: got.Elapsed, ByKind: [load.Kinds]int{20, 20, 0}}
	if got != want || got.Sent() != 100 || asked.Load() != 100 || got.Elapsed < 100*time.Millisecond {
		t.Errorf("got %+v of %d asked, want %+v", got, asked.Load(), want)
	}
}

// Who waits for an answer too long hangs up; what is due while every connection waits is never sent.
func TestMixOpenGivesUp(t *testing.T) {
	m, asked := mixed(t, "/hang")
	got, err := load.MixOpen(t.Context(), m, 100, 2, 5*time.Second, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if got.Late != 2 || got.Unsent != 8 || got.Sent() != 2 || asked.Load() > 2 {
		t.Errorf("got %+v of %d asked, want each of two connections hanging in one request and 8 never sent", got, asked.Load())
	}
}

func TestMixClosedWantsGoodAnswers(t *testing.T) {
	m, asked := mixed(t, "/200", "/201")
	got, err := load.MixClosed(t.Context(), m, 3, time.Second)
	if err != nil || got.Good < 3 || int64(got.Good) != asked.Load() {
		t.Errorf("got %+v of %d asked, %v", got, asked.Load(), err)
	}
	if err := load.MixOnce(t.Context(), m); err != nil {
		t.Error(err)
	}
	m, _ = mixed(t, "/200", "/503")
	if _, err := load.MixClosed(t.Context(), m, 1, time.Minute); !errors.Is(err, load.ErrAnswer) {
		t.Errorf("a peak with a shed request: got %v", err)
	}
}
