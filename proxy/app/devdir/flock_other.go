//go:build !unix

package devdir

import (
	"errors"
	"os"
)

func lockFile(*os.File) error { return errors.New("servers run on Linux and macOS") }

func lockShared(*os.File) error { return nil }
