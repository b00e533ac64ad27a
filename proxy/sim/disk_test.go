package sim_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

var errKilled = errors.New("the process is dead")

// plug connects one life of a node with what outlives it. Once it is pulled nothing gets through any more, which is what
// a kill looks like from outside: goroutines that still run touch nothing.
type plug struct {
	mu     sync.Mutex
	pulled bool
	after  int // operations until it is pulled by itself; negative: never
}

func (p *plug) pull() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulled = true
}

func (p *plug) pullAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after = n
}

func (p *plug) out() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pulled
}

// use is called before each operation. last says that the process dies in the middle of this one.
func (p *plug) use() (last bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pulled {
		return false, errKilled
	}
	if p.after == 0 {
		p.pulled = true
		return true, nil
	}
	if p.after > 0 {
		p.after--
	}
	return false, nil
}

// sinkLink is the audit sink of one life. It keeps what was acknowledged, by the ID of the record.
type sinkLink struct {
	*audittest.Memory
	plug  *plug
	world *world
}

func (s *sinkLink) Write(batch []byte) error { return s.do(batch, s.Memory.Write) }

func (s *sinkLink) Reopen(batch []byte) error { return s.do(batch, s.Memory.Reopen) }

func (s *sinkLink) do(batch []byte, write func([]byte) error) error {
	last, err := s.plug.use()
	if err != nil {
		return err
	}
	f := s.world.take(&s.world.sinkFault)
	switch {
	case last:
		// Half of a batch may be on the disk when the process dies.
		s.Fail(errKilled, len(batch)/2)
		_ = write(batch)
		return errKilled
	case f.kind == fails:
		s.Fail(errors.New("no space left on device"), f.n)
		err := write(batch)
		s.Fail(nil, 0)
		return err
	case f.kind == slow:
		time.Sleep(f.d)
	case f.kind == freezes:
		if f.then != nil {
			f.then()
		}
		s.world.clock.freeze(f.d)
	}
	if s.plug.out() {
		return errKilled
	}
	if err := write(batch); err != nil {
		return err
	}
	s.world.book.acknowledged(batch)
	return nil
}

// entry is what a record says that was acknowledged.
type entry struct {
	kind   audit.Kind
	path   string
	status int
}

// book is what the audit log is known to hold.
type book struct {
	w       *world
	mu      sync.Mutex
	entries map[string]entry
	pairs   map[string]bool // intents that have an outcome
	intents map[string]int  // by path, intents so far
}

func (b *book) acknowledged(batch []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.w.scan("the audit log", batch)
	for line := range bytes.Lines(batch) {
		id, pair := text(line, "id"), text(line, "pair")
		e := entry{audit.Kind(text(line, "kind")), text(line, "path"), 0}
		if i := bytes.Index(line, []byte(`"status":`)); i >= 0 {
			e.status, _ = strconv.Atoi(string(line[i+9 : i+12]))
		}
		b.entries[id] = e
		switch e.kind {
		case audit.Intent:
			b.intents[e.path]++
		case audit.Outcome:
			b.pairs[pair] = true
		}
	}
}

// text finds a text member of a record. That records are well-formed is for audit.Verify to say, at the end.
func text(line []byte, member string) string {
	i := bytes.Index(line, []byte(`"`+member+`":"`))
	if i < 0 {
		return ""
	}
	line = line[i+len(member)+4:]
	return string(line[:bytes.IndexByte(line, '"')])
}

func (b *book) find(id string) (e entry, ended, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok = b.entries[id]
	return e, b.pairs[id], ok
}

func (b *book) intentsOf(path string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.intents[path]
}

// storeLink is the way of one life to the state store, which others reach on ways of their own.
type storeLink struct {
	state.Store
	plug  *plug
	world *world
}

func (s *storeLink) Since(ctx context.Context, seq uint64) ([]state.Fact, uint64, error) {
	if s.plug.out() {
		return nil, 0, state.ErrUnavailable
	}
	if err := s.trouble(ctx, seq); err != nil {
		return nil, 0, err
	}
	return s.Store.Since(ctx, seq)
}

func (s *storeLink) trouble(ctx context.Context, seq uint64) error {
	s.world.looking.Add(1)
	defer s.world.looking.Add(-1)
	f := s.world.take(&s.world.storeFault)
	if s.world.crowded.Load() && (f.kind == hangs || f.kind == slow) {
		f.kind = fails
	}
	switch f.kind {
	case fails:
		s.world.model.storeFailed()
		return state.ErrUnavailable
	case hangs:
		<-ctx.Done()
		s.world.model.storeFailed()
		return state.ErrUnavailable
	case slow:
		time.Sleep(f.d)
		s.world.model.storeSlow()
		if ctx.Err() != nil {
			s.world.model.storeFailed()
			return state.ErrUnavailable
		}
	case freezes:
		s.world.clock.freeze(f.d)
	case compacted:
		if seq != 0 {
			return state.ErrCompacted
		}
	}
	return nil
}

func (s *storeLink) Append(ctx context.Context, f state.Fact) (uint64, error) {
	last, err := s.plug.use()
	if err != nil {
		return 0, state.ErrUnavailable
	}
	switch fault := s.world.take(&s.world.storeFault); fault.kind {
	case fails, hangs:
		if fault.n%2 == 1 { // the answer is lost, the fact is not
			_, _ = s.world.append(f)
		}
		return 0, state.ErrUnavailable
	}
	if last {
		if len(f.ID)%2 == 0 {
			_, _ = s.world.append(f)
		}
		return 0, state.ErrUnavailable
	}
	return s.world.append(f)
}

func (s *storeLink) Close() error { return nil }

// logScan is where the log of a node goes.
type logScan struct{ world *world }

func (l logScan) Write(line []byte) (int, error) {
	l.world.scan("the log", line)
	return len(line), nil
}

// canary begins every secret value, and may stand nowhere but in one.
const canary = "CANARY"

func (w *world) scan(what string, text []byte) {
	if i := bytes.Index(text, []byte(canary)); i >= 0 {
		w.violated("I8", "%s holds a secret value: %.200s", what, text[max(0, i-100):])
	}
}

func (w *world) scanText(what, text string) {
	if strings.Contains(text, canary) {
		w.violated("I8", "%s holds a secret value: %.300s", what, text)
	}
}
