//go:build !unix

package doctor

import (
	"errors"
	"os"
)

func foreign(os.FileInfo) (uid int, is bool) { return 0, false }

func space(string) (free, total, files uint64, err error) { return 0, 0, 0, errors.ErrUnsupported }
