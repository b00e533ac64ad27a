package load_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const body = "twelve bytes"

// serve counts what it answers with 200.
func serve(t *testing.T, before func(n int64, w http.ResponseWriter) bool) (load.Target, *atomic.Int64) {
	t.Helper()
	var answered, asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" || r.URL.Path != "/v1/x" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Cache", "hit")
		if before != nil && !before(asked.Add(1), w) {
			return
		}
		_, _ = w.Write([]byte(body))
		answered.Add(1)
	}))
	t.Cleanup(s.Close)
	return load.Target{URL: s.URL + "/v1/x", Headers: []string{"Authorization: Bearer t"}, Want: "X-Cache: hit"}, &answered
}

func TestClosedCountsEveryAnswer(t *testing.T) {
	target, answered := serve(t, nil)
	s, err := load.Closed(t.Context(), target, 4, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if int64(s.Requests) != answered.Load() || s.Requests < 4 {
		t.Errorf("counted %d requests, the server answered %d", s.Requests, answered.Load())
	}
	if s.Bytes <= int64(s.Requests*len(body)) || s.Elapsed < time.Second || s.InFlight != 0 || s.PerSecond() <= 0 {
		t.Errorf("got %+v", s)
	}
}

func TestWrkCountsEveryAnswer(t *testing.T) {
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Skip("wrk is not installed")
	}
	target, answered := serve(t, nil)
	s, err := load.Wrk(t.Context(), target, 4, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if n := answered.Load(); int64(s.Requests) > n || n > int64(s.Requests+s.InFlight) || s.InFlight != 4 {
		t.Errorf("counted %d requests and up to %d cut off, the server answered %d", s.Requests, s.InFlight, n)
	}
	target.Headers = nil
	if _, err := load.Wrk(t.Context(), target, 1, time.Second); !errors.Is(err, load.ErrAnswer) {
		t.Errorf("got %v for a server that answers 401, want ErrAnswer", err)
	}
}

func TestOpenSendsEveryRequest(t *testing.T) {
	target, answered := serve(t, nil)
	s, err := load.Open(t.Context(), target, 1000, 4, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if s.Requests != 100 || answered.Load() != 100 || len(s.Times) != 100 {
		t.Errorf("counted %d requests with %d times, the server answered %d, want 100", s.Requests, len(s.Times), answered.Load())
	}
	if !slices.IsSorted(s.Times) || !slices.IsSorted(s.Lags) || s.Times[0] <= 0 {
		t.Errorf("times %v, lags %v", s.Times, s.Lags)
	}
}

// One stall delays all that were due during it; a generator that waits with its clock would see one slow answer only.
func TestOpenChargesAStallToAllWhoWaited(t *testing.T) {
	const stall = 200 * time.Millisecond
	target, _ := serve(t, func(n int64, _ http.ResponseWriter) bool {
		if n == 1 {
			time.Sleep(stall)
		}
		return true
	})
	s, err := load.Open(t.Context(), target, 1000, 1, stall)
	if err != nil {
		t.Fatal(err)
	}
	// Request i was due after i ms and could not be answered before the stall ended.
	late := 0
	for _, d := range s.Times {
		if d >= stall/2 {
			late++
		}
	}
	if late < 99 {
		t.Errorf("%d of %d requests were late by half the stall, want at least 99", late, len(s.Times))
	}
}

func TestWrongAnswersEndTheRun(t *testing.T) {
	for name, before := range map[string]func(int64, http.ResponseWriter) bool{
		"a status": func(n int64, w http.ResponseWriter) bool {
			if n == 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return n != 3
		},
		"a missing header": func(n int64, w http.ResponseWriter) bool {
			if n == 3 {
				w.Header().Set("X-Cache", "miss")
			}
			return true
		},
		"an unknown length": func(n int64, w http.ResponseWriter) bool {
			if n == 3 {
				w.(http.Flusher).Flush()
			}
			return true
		},
	} {
		target, _ := serve(t, before)
		if _, err := load.Closed(t.Context(), target, 2, time.Minute); !errors.Is(err, load.ErrAnswer) {
			t.Errorf("%s: closed: got %v, want ErrAnswer", name, err)
		}
		target, _ = serve(t, before)
		if _, err := load.Open(t.Context(), target, 1000, 2, time.Second); !errors.Is(err, load.ErrAnswer) {
			t.Errorf("%s: open: got %v, want ErrAnswer", name, err)
		}
	}
}

func TestBadTargets(t *testing.T) {
	for _, u := range []string{"", "https://127.0.0.1:1/", "http://127.0.0.1/", "http://127.0.0.1:1/"} {
		if _, err := load.Closed(t.Context(), load.Target{URL: u}, 1, time.Second); err == nil || strings.Contains(err.Error(), "nil") {
			t.Errorf("%q: got %v", u, err)
		}
	}
}

func TestPercentile(t *testing.T) {
	times := make([]time.Duration, 100)
	for i := range times {
		times[i] = time.Duration(i + 1)
	}
	for _, row := range []struct {
		p    float64
		n    int
		want time.Duration
	}{{0.5, 100, 50}, {0.99, 100, 99}, {0.999, 100, 100}, {1, 100, 100}, {0, 100, 1}, {0.99, 1, 1}, {0.99, 0, 0}, {0.99, 50, 50}, {0.98, 50, 49}} {
		if got := load.Percentile(times[:row.n], row.p); got != row.want {
			t.Errorf("p%v of %d: got %d, want %d", row.p*100, row.n, got, row.want)
		}
	}
}
