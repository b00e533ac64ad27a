//go:build !race

package proxy_test

// samples is how many pairs of requests are compared where time or work might tell something.
const samples = 100_000
