//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package embedded

import (
	"os"
	"time"
)

// lockFile leaves locking to the storage library: the server is not supported on this system.
func lockFile(*os.File, bool, time.Duration) error { return nil }
