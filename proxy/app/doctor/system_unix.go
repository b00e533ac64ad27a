//go:build unix

package doctor

import (
	"os"
	"syscall"
)

// foreign tells the owner of a file where it is neither the user who asks nor the administrator.
func foreign(info os.FileInfo) (uid int, is bool) {
	st, known := info.Sys().(*syscall.Stat_t)
	if !known || st.Uid == 0 || int(st.Uid) == os.Geteuid() {
		return 0, false
	}
	return int(st.Uid), true
}

// space is what a file system has for this user, in bytes, and how many files it can still hold.
func space(path string) (free, total, files uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, 0, 0, err
	}
	size := uint64(st.Bsize)
	if files = uint64(st.Ffree); st.Files == 0 {
		files = ^uint64(0)
	}
	return uint64(st.Bavail) * size, uint64(st.Blocks) * size, files, nil
}
