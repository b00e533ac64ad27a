package audit_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

// The test binary runs itself as a process that can be killed or limited; these say how.
const (
	childEnv  = "KEYHOLE_AUDIT_TEST_CHILD" // path of the log
	fsizeEnv  = "KEYHOLE_AUDIT_TEST_FSIZE" // RLIMIT_FSIZE instead of running until killed
	fsizeFull = 8 << 10
)

const (
	rotateEnv = "KEYHOLE_AUDIT_TEST_ROTATE" // the size at which the child's files are full
	faultEnv  = "KEYHOLE_AUDIT_TEST_FAULT"  // what the child lets the kernel refuse
)

func child() int {
	if kind := os.Getenv(faultEnv); kind != "" {
		return fault(os.Getenv(childEnv), kind)
	}
	if os.Getenv(brokenEnv) != "" {
		return broken()
	}
	rotate, _ := strconv.ParseInt(os.Getenv(rotateEnv), 10, 64)
	s, err := audit.NewFileSink(audit.FileConfig{Path: os.Getenv(childEnv), Retention: audit.Retention{Rotate: rotate}})
	if err != nil {
		return 3
	}
	if os.Getenv(fsizeEnv) != "" {
		limit := syscall.Rlimit{Cur: fsizeFull, Max: fsizeFull}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return 4
		}
	}
	l, err := audit.New(audit.Config{Sink: s, Key: audittest.Key(), CheckpointEvery: 10})
	if err != nil {
		return 5
	}
	if os.Getenv(fsizeEnv) != "" {
		return fillUp(l)
	}
	var mu sync.Mutex
	for range 4 {
		go func() {
			for {
				r := audittest.Access()
				if err := l.Append(context.Background(), r); err != nil {
					os.Exit(6)
				}
				mu.Lock() // the response: what was printed must be in the log
				_, _ = os.Stdout.WriteString(r.ID + "\n")
				mu.Unlock()
			}
		}()
	}
	select {}
}

// fillUp appends until the kernel refuses, and then what the next file takes.
func fillUp(l *audit.Log) int {
	failures := 0
	for range 12 {
		err := l.Append(context.Background(), audittest.Access())
		if err != nil && (!errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, syscall.EFBIG)) {
			fmt.Println(err)
			return 7
		}
		if err != nil {
			failures++
		}
	}
	fmt.Println(failures)
	if l.Close() != nil {
		return 8
	}
	return 0
}

func childCommand(t *testing.T, path string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), childEnv+"="+path), env...)
	return cmd
}

// Records >= responses, wherever the process is killed, and the next one goes on in the same log.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var acked []string
	const kills = 8
	for i := range kills {
		cmd := childCommand(t, path, rotateEnv+"=4096") // some are killed between two files
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for in, n := bufio.NewScanner(out), 0; in.Scan(); n++ {
			if len(in.Text()) == 26 {
				acked = append(acked, in.Text())
			}
			if n == 20+37*i { // the pipe holds what the child wrote before it died: read on
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
	}
	l := newLog(t, fileSink(t, path, audit.Process))
	closeLog(t, l)

	report := verify(t, fileSources(t, path))
	if report.Unsealed != kills || !report.Sealed {
		t.Errorf("%d unsealed instances and sealed %v, want %d and a seal at the end", report.Unsealed, report.Sealed, kills)
	}
	inLog := map[string]bool{}
	for _, s := range fileSources(t, path) {
		err := audit.Scan(s.Reader, func(_ []byte, r *audit.Record) error {
			inLog[r.ID] = true
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(acked) < kills*20 {
		t.Fatalf("only %d responses in %d runs", len(acked), kills)
	}
	for _, id := range acked {
		if !inLog[id] {
			t.Fatalf("%s was acknowledged and is not in the log", id)
		}
	}
}

// A real short write: the kernel takes a part of a line and refuses the rest.
func TestFileFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	out, err := childCommand(t, path, fsizeEnv+"=1").Output()
	if err != nil {
		t.Fatalf("child: %v: %s", err, out)
	}
	if got := strings.TrimSpace(string(out)); got != "1" {
		t.Fatalf("%s appends failed, want the one that did not fit", got)
	}
	files, err := audit.Files(path)
	if err != nil || len(files) != 2 {
		t.Fatalf("Files = %v, %v; want two", files, err)
	}
	full, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(full) != fsizeFull || strings.HasSuffix(string(full), "\n") {
		t.Errorf("the first file has %d bytes and is not torn; want %d and a part of a line", len(full), fsizeFull)
	}
	r, err := audit.VerifyFiles(files, audit.VerifyOptions{PublicKey: audittest.PublicKey()})
	if err != nil {
		t.Fatalf("VerifyFiles: %v", err)
	}
	if r.Failures != 1 || !r.Sealed || r.Files != 2 {
		t.Errorf("got %+v, want one failure, two files and a seal", r)
	}
}

// Starts that find no room for a torn line leave no part of it behind, however many there are, and lose nothing.
func TestTornLineWithoutRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	closeLog(t, newLog(t, fileSink(t, path, audit.Process)))
	const before = "what was torn before\n"
	torn := strings.Repeat("x", 2*fsizeFull)
	put(t, path, read(t, path)+torn)
	put(t, path+".torn", before)
	for range 2 {
		if err := childCommand(t, path, fsizeEnv+"=1").Run(); err == nil {
			t.Fatal("a log was opened whose torn line has no room")
		}
		if got := read(t, path+".torn"); got != before {
			t.Errorf("%d bytes are left beside the log, want %d", len(got), len(before))
		}
	}
	closeLog(t, newLog(t, fileSink(t, path, audit.Process)))
	if got := read(t, path+".torn"); got != before+torn {
		t.Errorf("%d bytes are kept, want %d", len(got), len(before+torn))
	}
}
