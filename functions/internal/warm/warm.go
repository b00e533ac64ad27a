// Package warm begins, on a processor that is idle while the configuration is read, what every start needs and no
// configuration changes.
package warm

import "crypto/ed25519"

// Start returns at once. The first use of an Ed25519 key makes a table of the curve, the longest single step of a start
// (more than a millisecond); whoever needs it meanwhile waits for the rest of it. Keys of our own cannot come sooner: they
// are in the configuration.
func Start() {
	go ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
}
