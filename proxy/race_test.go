//go:build race

package proxy_test

// samples is less here: the race detector makes each request ten times as long.
const samples = 10_000
