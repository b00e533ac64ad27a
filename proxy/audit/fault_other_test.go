//go:build !linux

package audit_test

// fault is for systems where a test can make the kernel refuse.
func fault(string, string) int { return 1 }
