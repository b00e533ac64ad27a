package harden_test

import (
	"syscall"
	"testing"

	"github.com/keyhole-edge/keyhole/functions/internal/harden"
)

// prGetDumpable is PR_GET_DUMPABLE of prctl(2).
const prGetDumpable = 3

func TestProcess(t *testing.T) {
	if err := harden.Process(); err != nil {
		t.Fatal(err)
	}
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil || core != (syscall.Rlimit{}) {
		t.Errorf("core files: got %+v, %v", core, err)
	}
	if got, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prGetDumpable, 0, 0); got != 0 || errno != 0 {
		t.Errorf("dumpable: got %d, %v", got, errno)
	}
}
