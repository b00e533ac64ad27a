//go:build !unix

package app

func inodeOf(string) (uint64, bool) { return 0, false }
