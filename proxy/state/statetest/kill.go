package statetest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/state"
)

// childEnv names the place a child process appends to until it is killed.
const childEnv = "KEYHOLE_STATETEST_CHILD"

// child is what the test does in a process that testKill started: append from several goroutines, for ever, and say each
// time that it was acknowledged.
func child(t *testing.T, s Suite) bool {
	place, round, ok := strings.Cut(os.Getenv(childEnv), "|")
	if !ok {
		return false
	}
	store, err := s.Open(place, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", round, w, i)
				seq, err := store.Append(context.Background(), revocation(id))
				mu.Lock()
				if err != nil {
					fmt.Println("failed", err)
					os.Exit(1)
				}
				fmt.Println("acked", id, seq) // one write(2): it is out before the next append
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return true
}

// A process that appends is killed at an arbitrary moment, again and again: every fact that was acknowledged is there
// under its seq, and the log has no hole.
func testKill(t *testing.T, s Suite) {
	if !s.Durable {
		t.Skip("not durable")
	}
	root, _, _ := strings.Cut(t.Name(), "/")
	place := t.TempDir()
	acked := map[string]uint64{}
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+root+"$", "-test.timeout=1m")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d", childEnv, place, round))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killAfter := len(acked) + 30 + 7*round
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var id string
			var seq uint64
			if _, err := fmt.Sscanf(lines.Text(), "acked %s %d", &id, &seq); err != nil {
				t.Errorf("the child said %q", lines.Text())
				break
			}
			acked[id] = seq
			if len(acked) == killAfter {
				_ = cmd.Process.Kill() // what it said before it died is still to be read
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if len(acked) < killAfter {
			t.Fatalf("the child acknowledged %d facts before it ended, want at least %d", len(acked), killAfter)
		}
		verify(t, s, place, acked)
	}
}

func verify(t *testing.T, s Suite, place string, acked map[string]uint64) {
	t.Helper()
	store, err := s.Open(place, time.Now)
	if err != nil {
		t.Fatalf("opening the store after the kill: %v", err)
	}
	defer store.Close()
	facts, last, err := store.Since(t.Context(), 0)
	if err != nil {
		t.Fatalf("Since(0) after the kill: %v", err)
	}
	if uint64(len(facts)) != last {
		t.Errorf("%d facts, the log ends at %d", len(facts), last)
	}
	held := map[string]state.Fact{}
	for i, fact := range facts {
		if fact.Seq != uint64(i+1) {
			t.Fatalf("fact %d has seq %d", i+1, fact.Seq)
		}
		held[fact.ID] = fact
	}
	for id, seq := range acked {
		if got, ok := held[id]; !ok || got.Seq != seq {
			t.Errorf("%s was acknowledged as %d; found: %v, seq %d", id, seq, ok, got.Seq)
		}
	}
}
