package app

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// NameHolder adds to an error that is one of locked which process holds the file, where the system tells.
func NameHolder(path string, err error, locked ...error) error {
	for _, l := range locked {
		if errors.Is(err, l) {
			if pid := holder(path); pid > 0 {
				return fmt.Errorf("%w: process %d holds %s; stop it, or use its server", err, pid, path)
			}
		}
	}
	return err
}

// holder finds the process with a lock on the file in /proc/locks (proc(5)); 0 where that cannot be known.
func holder(path string) int {
	inode, ok := inodeOf(path)
	if !ok {
		return 0
	}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 708 08:02:4849665 0 EOF
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] == "->" {
			continue
		}
		id := strings.Split(fields[5], ":")
		if len(id) == 3 && id[2] == strconv.FormatUint(inode, 10) {
			pid, _ := strconv.Atoi(fields[4])
			return max(pid, 0)
		}
	}
	return 0
}
