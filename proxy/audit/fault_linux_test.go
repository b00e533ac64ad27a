package audit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

// errNotPermitted is the exit code of a child that may not make the fault on this system.
const errNotPermitted = 77

// fault runs in the child.
func fault(path, kind string) int {
	d := audit.Process
	if strings.HasPrefix(kind, "strict ") {
		d = audit.Strict
	}
	full := strings.HasSuffix(kind, " full")
	if full {
		path = filepath.Join(filepath.Dir(path), "small", filepath.Base(path))
		if err := unix.Mount("tmpfs", filepath.Dir(path), "tmpfs", 0, "size=256k"); err != nil {
			return errNotPermitted
		}
	}
	// Two descriptors below that of the log: closed later, they give the next files other numbers than the one that fails.
	var spare []*os.File
	for range 2 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return 2
		}
		spare = append(spare, f)
	}
	directory := strings.HasSuffix(kind, " directory")
	var keep audit.Retention
	if directory {
		keep.Rotate = 4 << 10
	}
	s, err := audit.NewFileSink(audit.FileConfig{Path: path, Durability: d, Retention: keep})
	if err != nil {
		return 3
	}
	l, err := audit.New(audit.Config{Sink: s, Key: audittest.Key()})
	if err != nil {
		return 4
	}
	if err := l.Append(context.Background(), audittest.Access()); err != nil {
		return 5
	}
	if full {
		return fillDisk(l, path)
	}

	number := uint32(unix.SYS_FSYNC)
	if strings.HasSuffix(kind, " write") {
		number = unix.SYS_WRITE
	}
	fd := descriptorOf(path)
	if directory {
		fd = uint32(spare[0].Fd()) // the lowest that will be free: the directory is opened first
	}
	if err := refuseCall(number, fd, unix.EIO); err != nil {
		return errNotPermitted
	}
	for _, f := range spare {
		_ = f.Close()
	}
	err = l.Append(context.Background(), audittest.Access())
	for range 20 {
		if directory && err == nil { // until the file is full
			err = l.Append(context.Background(), audittest.Access())
		}
	}
	fmt.Println(errors.Is(err, audit.ErrUnavailable) && errors.Is(err, syscall.EIO), l.Healthy() == nil)
	if directory {
		return 0 // it will not heal: the number is free again
	}
	if err := l.Append(context.Background(), audittest.Access()); err != nil {
		fmt.Println(err)
	}
	if err := l.Close(); err != nil {
		fmt.Println(err)
	}
	return 0
}

// fillDisk fills the file system, waits until the log fails, makes room, and waits until it is back.
func fillDisk(l *audit.Log, path string) int {
	ballast := filepath.Join(filepath.Dir(path), "ballast")
	if err := os.WriteFile(ballast, make([]byte, 64<<10), 0o600); err != nil {
		return 6
	}
	var err error
	for range 1000 {
		if err = l.Append(context.Background(), audittest.Access()); err != nil {
			break
		}
	}
	fmt.Println(errors.Is(err, audit.ErrUnavailable) && errors.Is(err, syscall.ENOSPC), l.Healthy() == nil)
	again := l.Append(context.Background(), audittest.Access())
	if !errors.Is(again, audit.ErrUnavailable) {
		fmt.Println("with the disk still full:", again)
	}
	if _, err := os.Lstat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		fmt.Println("a file that could not be begun is left:", err)
	}
	if err := os.Remove(ballast); err != nil {
		return 7
	}
	for deadline := time.Now().Add(time.Minute); l.Healthy() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return 8
		}
	}
	if err := l.Append(context.Background(), audittest.Access()); err != nil {
		fmt.Println(err)
	}
	if err := l.Close(); err != nil {
		fmt.Println(err)
	}
	report, err := verifyFilesOf(path)
	fmt.Println(report, err)
	return 0
}

func verifyFilesOf(path string) (string, error) {
	files, r, err := audit.VerifyLog(path, audit.Retention{}, audit.VerifyOptions{PublicKey: audittest.PublicKey()})
	return fmt.Sprintf("%d files %d failures sealed %v", len(files), r.Failures, r.Sealed), err
}

func descriptorOf(path string) uint32 {
	for fd := range 64 {
		if name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err == nil && name == path {
			return uint32(fd)
		}
	}
	return ^uint32(0)
}

// refuseCall makes one system call on one descriptor fail in all threads, for good (seccomp).
func refuseCall(number, fd uint32, with syscall.Errno) error {
	const nrAt, fdAt = 0, 16 // of struct seccomp_data; the low half of the first argument
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nrAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: fdAt},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: fd, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(with)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}

// Fail closed on EIO and ENOSPC, with the real errors of the kernel, and go on in a new file when it lets us. That the
// failing fsync is noticed in Strict and not made in Process shows which of them flushes.
func TestKernelFaults(t *testing.T) {
	for kind, row := range map[string]struct{ out, end string }{
		"strict fsync": {"true false\n", "2 files 1 failures sealed true"},
		"strict write": {"true false\n", "2 files 1 failures sealed true"},
		// The new file is in its place, but whether a power failure leaves it there is not known.
		"strict directory": {"true false\n", "2 files 0 failures sealed false"},
		"process write":    {"true false\n", "2 files 1 failures sealed true"},
		"process fsync":    {"false true\n", "1 files 0 failures sealed true"},
		"process full":     {"true false\n2 files 1 failures sealed true <nil>\n", ""},
		"strict full":      {"true false\n2 files 1 failures sealed true <nil>\n", ""},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "audit.jsonl")
			cmd := childCommand(t, path, faultEnv+"="+kind)
			if row.end == "" {
				if err := os.Mkdir(filepath.Join(dir, "small"), 0o700); err != nil {
					t.Fatal(err)
				}
				cmd.SysProcAttr = &syscall.SysProcAttr{
					Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
					UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
					GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
				}
			}
			out, err := cmd.Output()
			exit := (*exec.ExitError)(nil)
			switch {
			case errors.As(err, &exit) && exit.ExitCode() == errNotPermitted, errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSPC):
				t.Skipf("this system does not let a test make the fault: %v", err)
			case err != nil:
				t.Fatalf("child: %v: %s", err, out)
			}
			if string(out) != row.out {
				t.Errorf("the child tells %q, want %q", out, row.out)
			}
			if row.end == "" {
				return
			}
			if got, err := verifyFilesOf(path); err != nil || got != row.end {
				t.Errorf("got %s, %v; want %s", got, err, row.end)
			}
		})
	}
}
