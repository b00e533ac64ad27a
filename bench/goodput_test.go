package main

import (
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
)

// A server that answers more cached reads in the place of misses and writes has not kept its goodput.
func TestGoodputIsOfWholeMixes(t *testing.T) {
	for name, row := range map[string]struct {
		byKind [load.Kinds]int
		want   float64
	}{
		"the mix":           {[load.Kinds]int{1800, 180, 20}, 1000},
		"half of it":        {[load.Kinds]int{900, 90, 10}, 500},
		"misses are scarce": {[load.Kinds]int{4000, 45, 20}, 250},
		"writes are scarce": {[load.Kinds]int{4000, 180, 5}, 250},
		"no writes":         {[load.Kinds]int{4000, 180, 0}, 0},
		"hits are scarce":   {[load.Kinds]int{900, 180, 20}, 500},
	} {
		if got := whole(load.Outcome{Elapsed: 2 * time.Second, ByKind: row.byKind}); got != row.want {
			t.Errorf("%s: got %v, want %v", name, got, row.want)
		}
	}
}
