// Package policies holds the policies that ship with Keyhole, as WebAssembly modules that package wasm runs:
//
//   - scope allows what a scope of the token covers. It takes no data.
//   - attributes decides by environment, classification, claims, source network and time of day, as the rules in its
//     data document say. It denies everything until it has one.
//
// The modules are built from src and committed; README.md describes the data document. The package decides nothing and
// imports the standard library only.
package policies

import _ "embed" // for the modules

//go:embed scope.wasm
var scope string

//go:embed attributes.wasm
var attributes string

// Names lists the builtin policies in the order of their documentation.
func Names() []string { return []string{"scope", "attributes"} }

// Builtin returns the module of a builtin policy, manifest included. The bytes are the caller's own copy.
func Builtin(name string) (wasm []byte, ok bool) {
	switch name {
	case "scope":
		return []byte(scope), true
	case "attributes":
		return []byte(attributes), true
	}
	return nil, false
}
