package guard_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// partly is an upstream that fails for some names. It is asked by one goroutine at a time.
type partly struct {
	fails func(name string) bool
	asked map[string]int
}

func (p *partly) Read(_ context.Context, name string, _ secret.Version) (*secret.Secret, error) {
	p.asked[name]++
	if p.fails(name) {
		return nil, secret.ErrUnavailable
	}
	return &secret.Secret{Version: "1"}, nil
}

// steps reads names one after the other, and wants each to end so: + with a value, - with a failure of the upstream, and .
// left alone.
func (p *partly) steps(t *testing.T, r guard.Reader, doing, names, want string) {
	t.Helper()
	got := ""
	for _, name := range names {
		switch _, err := r.Read(t.Context(), string(name), secret.Current); {
		case err == nil:
			got += "+"
		case errors.Is(err, guard.ErrOpen):
			got += "."
		default:
			got += "-"
		}
	}
	if got != want {
		t.Errorf("%s: reads of %s ended %s, want %s", doing, names, got, want)
	}
}

// Whoever reads one secret that the upstream cannot give keeps nobody from the others, however often he asks.
func TestOneSecretThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := false
		p := &partly{fails: func(name string) bool { return name == "x" || down }, asked: map[string]int{}}
		g := build(t, guard.Config{Attempts: 1})
		r := g.Reader(p)
		p.steps(t, r, "at first", "xxxxxxx", "-----..")
		p.steps(t, r, "another beside it", "axbxcxxx", "+.+.+...")
		time.Sleep(5 * time.Second)
		p.steps(t, r, "after the cooldown", "xaxbx", "-+.+.")
		if got := p.asked["x"]; got != 6 {
			t.Errorf("it was asked for the one that fails %d times, want 6", got)
		}
		down = true
		p.steps(t, r, "when all fail", "abcdefgx", "-----...")
		down = false
		time.Sleep(5 * time.Second)
		p.steps(t, r, "the one that fails tries first", "xxaxb", "-.+-+")
	})
}

// Where two names fail in turn it is the upstream that does: one probe of each, and the cooldown begins anew for all.
func TestProbesOfTwoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &partly{fails: func(string) bool { return true }, asked: map[string]int{}}
		r := build(t, guard.Config{Attempts: 1}).Reader(p)
		p.steps(t, r, "at first", "abcdea", "-----.")
		time.Sleep(5 * time.Second)
		p.steps(t, r, "after the cooldown", "aabbcc", "-.-...")
		time.Sleep(5*time.Second - time.Millisecond)
		p.steps(t, r, "before the next is over", "abc", "...")
		time.Sleep(time.Millisecond)
		p.fails = func(string) bool { return false }
		p.steps(t, r, "when it is back", "cab", "+++")
	})
}

// News of a probe that is out when the upstream is left alone altogether count for nothing, and the next one can probe.
func TestProbeOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		p := &partly{fails: func(string) bool { return down }, asked: map[string]int{}}
		g := build(t, guard.Config{Attempts: 1})
		r := g.Reader(p)
		p.steps(t, r, "one fails", "xxxxx", "-----")
		time.Sleep(5 * time.Second)
		late, done := make(chan struct{}), make(chan struct{})
		go func() {
			_ = g.Retry(t.Context(), "x", func(context.Context) error { <-late; return nil })
			close(done)
		}()
		synctest.Wait()
		p.steps(t, r, "while its probe is out", "xabcdea", ".-----.")
		close(late)
		<-done
		p.steps(t, r, "when that is answered", "xa", "..")
		down = false
		time.Sleep(5 * time.Second)
		p.steps(t, r, "after the cooldown", "xa", "++")
	})
}
