// Package sim simulates one node and its upstream from seeds: clocks that stop and jump, frozen processes, failing
// upstreams, stores and disks, kills, restarts, reloads, revocations and callers at the same time. What happens is fixed by
// the seed before it begins; a model that knows nothing of how the node works says what may be answered, and every answer,
// record and log line is held against the invariants I1 to I9 (docs/threat-model.md).
//
// Everything of the node is real but its upstream. Time is that of a testing/synctest bubble: it passes when everybody
// waits. The order of goroutines within a step is the scheduler's, so a law is only asserted where it does not depend on it.
package sim
