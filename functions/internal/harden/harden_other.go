//go:build !linux

package harden

// Process does nothing: Lambda is Linux.
func Process() error { return nil }
