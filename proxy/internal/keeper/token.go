package keeper

import "slices"

// IsToken reports whether text has no byte but visible ASCII, so that it can stand in a header.
func IsToken(text []byte) bool {
	return !slices.ContainsFunc(text, func(c byte) bool { return c <= ' ' || c > '~' })
}
