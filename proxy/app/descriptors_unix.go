//go:build unix

package app

import "syscall"

// descriptors is how many files and connections this process may have open, 0 where that is not known. The runtime has
// raised the limit as far as it may.
func descriptors() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(uint64(l.Cur), 1<<30))
}
