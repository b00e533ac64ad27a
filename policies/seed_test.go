package policies_test

import (
	"flag"
	"strconv"
	"testing"

	_ "pgregory.net/rapid" // has the flag
)

// Properties are checked on the same cases each time; -rapid.seed=0 takes others.
var _ = flag.Set("rapid.seed", "1")

// reseed takes other cases until the test ends.
func reseed(t *testing.T, seed int) {
	t.Helper()
	f := flag.Lookup("rapid.seed")
	old := f.Value.String()
	if err := f.Value.Set(strconv.Itoa(seed)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(old) })
}
