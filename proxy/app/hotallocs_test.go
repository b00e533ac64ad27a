//go:build !race

package app_test

import (
	"math"
	"runtime"
	"testing"
)

// hotAllocs is how often one read of a cached secret allocates beyond what net/http does by itself: docs/performance.md
// names each. The race detector allocates, so this runs without it.
const hotAllocs = 5

// allocations counts those of one ask, fractions included: the whole process is counted, and what else it does now and then
// must not round an ask up. The smallest of several runs has the least of it.
func allocations(ask func()) float64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ask() // from now on it is a hit
	least := math.Inf(1)
	for range 5 {
		const asks = 1000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range asks {
			ask()
		}
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/asks)
	}
	return least
}

func TestHotReadAllocations(t *testing.T) {
	if got := allocations(hotHandler(t)); math.Round(got) != hotAllocs {
		t.Errorf("the handler allocates %.2f times a hit, want %d", got, hotAllocs)
	}
	// Over HTTP nothing may be added: connections, timeouts and limits cost no allocation.
	server, bare := allocations(hotServer(t)), allocations(hotBare(t))
	if math.Round(server-bare) > hotAllocs {
		t.Errorf("a hit over HTTP allocates %.2f times, a bare handler %.2f: want at most %d more", server, bare, hotAllocs)
	}
	t.Logf("over HTTP %.2f times, a bare handler %.2f", server, bare)
}
