// Package dynalitetest runs dynalite, a DynamoDB in one process, for tests: "make test-integration" installs it with npm.
// It takes any credentials.
package dynalitetest

import (
	_ "embed"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/nodetest"
)

// Env names the variable with the folder in which npm has installed it.
const Env = "KEYHOLE_DYNALITE"

//go:embed dynalite.mjs
var program string

// Start runs it, empty, until t ends and returns its URL. Where it is not installed, t is skipped.
func Start(t testing.TB) string { return nodetest.Start(t, Env, program) }
