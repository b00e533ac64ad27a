package load_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
)

// Each request has a number below n, and all of them come.
func TestNumbered(t *testing.T) {
	const n = 20
	var mu sync.Mutex
	seen := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.URL.Path]++
		mu.Unlock()
		fmt.Fprint(w, "x")
	}))
	defer s.Close()
	got := 0
	// Until all came: how many a run makes is the machine's business. Each begins with the same numbers.
	for d := 20 * time.Millisecond; d < time.Minute; d *= 2 {
		sum, err := load.Numbered(t.Context(), load.Target{URL: s.URL + "/s" + load.Number}, 2, n, d)
		if err != nil {
			t.Fatal(err)
		}
		if got += sum.Requests; len(seen) >= n {
			break
		}
	}
	all := 0
	for i := range n {
		all += seen[fmt.Sprintf("/s%08d", i)]
	}
	if len(seen) != n || all != got {
		t.Errorf("%d requests, %d of them with a number below %d, of %d kinds", got, all, n, len(seen))
	}
	if _, err := load.Numbered(t.Context(), load.Target{URL: s.URL + "/s"}, 1, n, time.Millisecond); err == nil {
		t.Error("a target without a number was taken")
	}
}
