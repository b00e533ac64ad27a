//go:build unix

package durable

import (
	"os"
	"syscall"
)

// Inherit gives a file the owner of another, where the process may: what an administrator repairs must still be read by
// the user that the server runs as.
func Inherit(file, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(file, int(st.Uid), int(st.Gid))
}
