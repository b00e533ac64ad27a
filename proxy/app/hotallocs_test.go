//go:build !race

package app_test

import "testing"

// hotAllocs is how often one read of a cached secret allocates beyond what net/http does by itself: docs/performance.md
// names each. The race detector allocates, so this runs without it.
const hotAllocs = 5

func TestHotReadAllocations(t *testing.T) {
	per := func(ask func()) float64 {
		ask() // from now on it is a hit
		return testing.AllocsPerRun(2000, ask)
	}
	if got := per(hotHandler(t)); got != hotAllocs {
		t.Errorf("the handler allocates %v times a hit, want %d", got, hotAllocs)
	}
	// Over HTTP nothing may be added: connections, timeouts and limits cost no allocation.
	if server, bare := per(hotServer(t)), per(hotBare(t)); server-bare > hotAllocs {
		t.Errorf("a hit over HTTP allocates %v times, a bare handler %v: want at most %d more", server, bare, hotAllocs)
	}
}
