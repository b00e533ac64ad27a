package keyhole

import (
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/internal/guard"
)

// maxPause is the longest that the other node is left alone because it asked for it: a wrong answer must not be the end.
const maxPause = 30 * time.Second

// pause remembers that the other node asked to wait. The zero value is none.
type pause struct {
	mu    sync.Mutex
	until time.Time // by the wall clock
	err   error     // of whoever asks before; one for all of them, since it is one failure
}

// check fails with what the other node answered while it wants to be left alone.
func (p *pause) check(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if left := p.until.Round(0).Sub(now.Round(0)); left <= 0 || left > maxPause {
		return nil
	}
	return p.err
}

// begin leaves it alone for d and returns err as everybody hears it.
func (p *pause) begin(now time.Time, d time.Duration, err error) error {
	if d <= 0 {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until, p.err = now.Add(min(d, maxPause)), guard.Shared(err)
	return p.err
}
