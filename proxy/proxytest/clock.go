package proxytest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// clockVariable names the file with what a Clock is ahead of the machine's.
const clockVariable = "KEYHOLE_TEST_CLOCK"

// clockSource stands in place of proxy/app/wall.go in programs that are built with ClockOverlay.
const clockSource = `package app

import (
	"os"
	"strings"
	"time"
)

func wall() time.Time {
	text, err := os.ReadFile(os.Getenv("` + clockVariable + `"))
	if err != nil {
		return time.Now()
	}
	ahead, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(ahead)
}
`

// ClockOverlay writes into dir what makes go build a program whose wall clock a Clock moves, and returns the flag that
// names it. No program that is built without it has such a clock.
func ClockOverlay(dir string) (flag string, err error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/keyhole-edge/keyhole").Output()
	if err != nil {
		return "", err
	}
	source := filepath.Join(dir, "wall.go")
	if err := os.WriteFile(source, []byte(clockSource), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(strings.TrimSpace(string(root)), "proxy", "app", "wall.go"): source,
	}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return "-overlay=" + file, os.WriteFile(file, overlay, 0o600)
}

// Clock is the wall clock of programs that were built with ClockOverlay and run with its Env, and of a test.
type Clock struct {
	file string

	mu    sync.Mutex
	ahead time.Duration
}

// NewClock makes a clock that goes with the machine's.
func NewClock(t testing.TB) *Clock {
	t.Helper()
	return &Clock{file: filepath.Join(t.TempDir(), "clock")}
}

// Env is the variable that a program needs.
func (c *Clock) Env() string { return clockVariable + "=" + c.file }

// Now is what the programs see.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// Move sets the clock forward, or back.
func (c *Clock) Move(t testing.TB, d time.Duration) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	if err := os.WriteFile(c.file+".part", []byte(c.ahead.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.file+".part", c.file); err != nil {
		t.Fatal(err)
	}
}
