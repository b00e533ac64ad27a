// Package house holds the rules of the house that a machine can check: who may import whom, and how files look.
// Its tests read the sources themselves, so that go test notices when a file changed and never answers from an old result.
package house
