//go:build race

package lambdahttp_test

const underRace = true
