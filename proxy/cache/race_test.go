//go:build race

package cache_test

// The race detector dies at 8,128 goroutines and counts allocations of its own.
const raceEnabled = true
