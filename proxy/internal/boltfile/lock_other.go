//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package boltfile

import (
	"os"
	"time"
)

const noWait = 0

// lock leaves locking to the storage library: the server is not supported on this system.
func lock(*os.File, bool, time.Duration) error { return nil }

func unlock(*os.File) {}
