//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package audit

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock that ends with the process, two writers could fork the chain unseen.
func lockFile(string) (*os.File, error) {
	return nil, errors.New("audit log files need flock, which this system does not have")
}
