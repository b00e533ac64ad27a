package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// writerEnv names the vault that this test binary writes to, instead of running tests, until it is killed.
const writerEnv = "KEYHOLE_TEST_VAULT_WRITER"

const (
	killedNames   = 5
	killedWriters = 3
)

func killedName(i int) string { return fmt.Sprintf("kill/n%d", i) }

// writeUntilKilled says on standard output what the vault has acknowledged, and what it is about to be asked.
func writeUntilKilled(path string) {
	die := func(err error) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	v, err := embedded.Open(embedded.Config{Path: path, Key: masterKey(1)})
	if err != nil {
		die(err)
	}
	var wg sync.WaitGroup
	for w := range killedWriters {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := killedName((w + i) % killedNames)
				text := fmt.Sprintf("%s#%d.%d.%d", name, os.Getpid(), w, i)
				n, _, err := v.Write(context.Background(), name, secret.Write{Secret: value(text + strings.Repeat(".", i%7*1000))})
				if err != nil {
					die(err)
				}
				fmt.Println("written", name, n, text)
				if w == 0 && i%4 == 3 {
					settleFirst(v, die)
				}
			}
		})
	}
	wg.Wait()
}

func settleFirst(v *embedded.Vault, die func(error)) {
	changes, err := v.Pending(context.Background())
	if err != nil {
		die(err)
	}
	for _, c := range changes[:min(2, len(changes))] {
		fmt.Println("settling", c.ID)
		if err := v.Settle(context.Background(), c.ID); err != nil {
			die(err)
		}
		fmt.Println("settled", c.ID)
	}
}

// survivor is what must be true of a vault whose writers were killed.
type survivor struct {
	written  map[string]map[uint64]string // name, version: value acknowledged
	settling map[uint64]bool              // asked to settle
	settled  map[uint64]bool              // acknowledged
}

// TestKilledWriterLosesNothing kills a process with SIGKILL amid its writes, again and again on one vault.
func TestKilledWriterLosesNothing(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	path := vaultPath(t)
	known := survivor{map[string]map[uint64]string{}, map[uint64]bool{}, map[uint64]bool{}}
	for round := range rounds {
		// Sometimes before the first line: then the vault itself may be half-made.
		known.runAndKill(t, path, rand.IntN(25))
		v := openVault(t, path)
		known.verify(t, v)
		closeVault(t, v)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if !testing.Short() && (len(known.written) != killedNames || len(known.settled) == 0) {
		t.Errorf("the writers acknowledged %d names and %d settled changes: the test saw too little", len(known.written), len(known.settled))
	}
}

func (k *survivor) runAndKill(t *testing.T, path string, lines int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	for n := 0; ; n++ {
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		// What it said before it died counts too.
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		k.heard(t, strings.Fields(line))
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the writer ended by itself: %v", err)
	}
}

func (k *survivor) heard(t *testing.T, words []string) {
	t.Helper()
	switch words[0] {
	case "written":
		if k.written[words[1]] == nil {
			k.written[words[1]] = map[uint64]string{}
		}
		n := number(t, words[2])
		if _, twice := k.written[words[1]][n]; twice {
			t.Errorf("version %d of %s was acknowledged twice", n, words[1])
		}
		k.written[words[1]][n] = words[3]
	case "settling":
		k.settling[number(t, words[1])] = true
	case "settled":
		k.settled[number(t, words[1])] = true
	default:
		t.Fatalf("the writer says %q", words)
	}
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (k *survivor) verify(t *testing.T, v *embedded.Vault) {
	t.Helper()
	changesOf := map[string]uint64{}
	var commits uint64
	for i := range killedNames {
		name := killedName(i)
		current, err := v.Read(t.Context(), name, secret.Current)
		if errors.Is(err, secret.ErrNotFound) && len(k.written[name]) == 0 {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		last := number(t, string(current.Version))
		commits += last
		changesOf[name] = last
		for n, want := range k.written[name] {
			if n > last {
				t.Errorf("%s: version %d was acknowledged, the current one is %d", name, n, last)
			}
			if n+embedded.KeepVersions <= last {
				continue
			}
			s, err := v.Read(t.Context(), name, secret.Version(fmt.Sprint(n)))
			if err != nil {
				t.Errorf("%s at %d: %v", name, n, err)
			} else if got := strings.TrimRight(string(s.Value.Reveal()), "."); got != want {
				t.Errorf("%s at %d: got %q, want %q", name, n, got, want)
			}
		}
		for n := max(1, last-min(last, embedded.KeepVersions)+1); n <= last; n++ { // acknowledged or not, whole
			if s, err := v.Read(t.Context(), name, secret.Version(fmt.Sprint(n))); err != nil || !strings.HasPrefix(string(s.Value.Reveal()), name+"#") {
				t.Errorf("%s at %d: %v", name, n, err)
			}
		}
	}
	k.verifyOutbox(t, v, commits, changesOf)
}

// verifyOutbox holds that every version committed, and nothing else, has its change: pending, or settled.
func (k *survivor) verifyOutbox(t *testing.T, v *embedded.Vault, commits uint64, changesOf map[string]uint64) {
	t.Helper()
	changes, err := v.Pending(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pending := map[uint64]bool{}
	for _, c := range changes {
		pending[c.ID] = true
		if changesOf[c.Name] == 0 {
			t.Errorf("a change of %s is pending, which was never written", c.Name)
		}
		if c.ID > commits {
			t.Errorf("change %d is pending, but only %d versions were written", c.ID, commits)
		}
	}
	for id := uint64(1); id <= commits; id++ {
		if pending[id] && k.settled[id] {
			t.Errorf("change %d was settled and is pending again", id)
		}
		if !pending[id] && !k.settling[id] {
			t.Errorf("change %d is lost", id)
		}
	}
}
