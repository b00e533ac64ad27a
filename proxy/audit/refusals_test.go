package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
)

func refusal(ip, code string) *audit.Record {
	r := audittest.Access()
	r.Via.SourceIP, r.Result = ip, audit.Result{Status: 403, Code: code}
	return r
}

func refuse(t *testing.T, l *audit.Log, ip, code string) string {
	t.Helper()
	id, err := l.Refuse(context.Background(), refusal(ip, code))
	if err != nil {
		t.Fatalf("Refuse: %v", err)
	}
	return id
}

// tally is what a log tells of refusals.
type tally struct {
	listed int    // with records of their own
	begun  int    // aggregates
	ended  int    // and their counts
	total  uint64 // refusals told of
	counts []*audit.Record
}

func tallyOf(t *testing.T, m *audittest.Memory) tally {
	t.Helper()
	var got tally
	for _, s := range m.Sources() {
		err := audit.Scan(s.Reader, func(_ []byte, r *audit.Record) error {
			switch {
			case r.Kind == audit.Access:
				got.listed++
				got.total++
			case r.Kind == audit.Aggregate && r.Pair == "":
				got.begun++
				got.total += r.Count
			case r.Kind == audit.Aggregate:
				got.ended++
				got.total += r.Count
				c := *r
				got.counts = append(got.counts, &c)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func (g tally) want(t *testing.T, listed, aggregates int, total uint64) {
	t.Helper()
	if g.listed != listed || g.begun != aggregates || g.ended != aggregates || g.total != total {
		t.Errorf("got %d listed, %d aggregates with %d counts, %d in all; want %d, %d and %d", g.listed, g.begun, g.ended, g.total, listed, aggregates, total)
	}
}

// More than 50 a second from one source are counted, and the count is recorded when the second is over, though no other
// refusal comes.
func TestRefusalsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audittest.Memory
		l := newLog(t, &m)
		ids := map[string]int{}
		for i := range 200 {
			ids[refuse(t, l, "192.0.2.1", []string{"scope_denied", "token_invalid"}[i%2])]++
		}
		for range 50 {
			refuse(t, l, "192.0.2.2", "scope_denied") // another source, below the limit
		}
		got := tallyOf(t, &m)
		if got.listed != 100 || got.begun != 1 || got.ended != 0 {
			t.Errorf("before the second is over: got %+v", got)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		got = tallyOf(t, &m)
		got.want(t, 100, 1, 250)
		c := got.counts[0]
		if c.Via.SourceIP != "192.0.2.1" || c.Count != 149 || c.Decision.Reason != "token_invalid 75, scope_denied 74" || ids[c.Pair] != 150 {
			t.Errorf("the count is %+v and the answers named its beginning %d times", c, ids[c.Pair])
		}
		for id := range ids {
			if !strings.Contains(m.Text(), `"id":"`+id+`"`) {
				t.Errorf("an answer names %s, of which no record tells", id)
			}
		}

		refuse(t, l, "192.0.2.1", "scope_denied") // the rate has fallen
		tallyOf(t, &m).want(t, 101, 1, 251)
		closeLog(t, l)
		if r := verify(t, m.Sources()); len(r.OpenCounts) != 0 || len(r.OpenIntents) != 0 {
			t.Errorf("got %+v, want nothing open", r)
		}
	})
}

// A flood that does not end is told of every second.
func TestRefusalsOfALongFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audittest.Memory
		l := newLog(t, &m)
		const each, seconds = 100, 20
		for i := range each * seconds {
			refuse(t, l, "192.0.2.1", "scope_denied")
			time.Sleep(time.Second / each)
			if i == each*(seconds-2) {
				if got := tallyOf(t, &m); got.ended < seconds-5 {
					t.Errorf("after %d s of it: got %+v", seconds-2, got)
				}
			}
		}
		closeLog(t, l)
		tallyOf(t, &m).want(t, 50*seconds, seconds, each*seconds)
	})
}

func TestRefusalsAreCountedAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audittest.Memory
		l := newLog(t, &m)
		for range 60 {
			refuse(t, l, "192.0.2.1", "scope_denied")
		}
		killed := m.Crash()
		closeLog(t, l)
		got := tallyOf(t, &m)
		if got.total != 60 || got.begun != got.ended {
			t.Errorf("got %+v, want all 60 told of", got)
		}
		// The process that is killed first leaves the beginning: nothing is dropped silently.
		r := verify(t, killed.Sources())
		if len(r.OpenCounts) != 1 || r.OpenCounts[0].Line != 52 {
			t.Errorf("after a kill: open counts %+v, want one, on line 52", r.OpenCounts)
		}
		if r := verify(t, m.Sources()); len(r.OpenCounts) != 0 || !r.Sealed {
			t.Errorf("after Close: %+v, want nothing open and a seal", r)
		}
		if _, err := l.Refuse(context.Background(), refusal("192.0.2.1", "scope_denied")); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("Refuse after Close = %v, want ErrUnavailable", err)
		}
	})
}

func TestRefusalSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audittest.Memory
		l := newLog(t, &m)
		for i := range 60 {
			refuse(t, l, fmt.Sprintf("2001:db8:1:2::%x", i), "scope_denied") // one network
			refuse(t, l, "2001:db8:1:3::1", "scope_denied")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		got := tallyOf(t, &m)
		got.want(t, 100, 2, 120)
		for _, c := range got.counts {
			if c.Via.SourceIP != "2001:db8:1:2::/64" && c.Via.SourceIP != "2001:db8:1:3::/64" {
				t.Errorf("a count of %s", c.Via.SourceIP)
			}
		}
		closeLog(t, l)
	})
}

// However many sources there are, the memory and the records of a second are bounded.
func TestRefusalSourcesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audittest.Memory
		l := newLog(t, &m)
		const sources, beyond = 4096, 200
		for i := range sources + beyond {
			refuse(t, l, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "scope_denied")
		}
		got := tallyOf(t, &m)
		if got.listed != sources+50 || got.begun != 1 {
			t.Errorf("got %+v, want %d listed and the rest under one count", got, sources+50)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		got = tallyOf(t, &m)
		got.want(t, sources+50, 1, sources+beyond)
		if c := got.counts[0]; c.Via.SourceIP != "others" {
			t.Errorf("the count is of %q", c.Via.SourceIP)
		}
		refuse(t, l, "10.200.0.1", "scope_denied") // the others are forgotten by now
		if got := tallyOf(t, &m); got.listed != sources+51 {
			t.Errorf("got %+v, want a new source listed again", got)
		}
		closeLog(t, l)
	})
}

// While the sink fails nobody is answered; what was answered before is counted when it is back.
func TestRefusalsOfAFailingSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audittest.Memory
		l := newLog(t, &m)
		answered := uint64(0)
		for range 60 {
			refuse(t, l, "192.0.2.1", "scope_denied")
			answered++
		}
		m.Fail(errDisk, 0)
		if err := l.Append(context.Background(), audittest.Access()); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("Append = %v, want ErrUnavailable", err)
		}
		for _, ip := range []string{"192.0.2.1", "192.0.2.2"} { // counted, and with a record of its own
			if _, err := l.Refuse(context.Background(), refusal(ip, "scope_denied")); !errors.Is(err, audit.ErrUnavailable) {
				t.Errorf("%s: Refuse = %v, want ErrUnavailable", ip, err)
			}
		}
		time.Sleep(5 * time.Second)
		m.Fail(nil, 0)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		got := tallyOf(t, &m)
		if got.begun != 1 || got.ended != 1 || got.total < answered {
			t.Errorf("got %+v, want one aggregate with its count, and at least %d told of", got, answered)
		}
		closeLog(t, l)
		if r := verify(t, m.Sources()); len(r.OpenCounts) != 0 {
			t.Errorf("got %+v, want nothing open", r)
		}
	})
}

// I1 for refusals that are counted: nobody is answered before the beginning of the aggregate is acknowledged, and if it is
// not, nobody is answered.
func TestRefusalsWaitForTheAggregate(t *testing.T) {
	for name, answer := range map[string]error{"acknowledged": nil, "failed": errDisk} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gate{Memory: &audittest.Memory{}}
				l := newLog(t, g)
				for range 50 {
					refuse(t, l, "192.0.2.1", "scope_denied")
				}
				g.entered, g.answer = make(chan struct{}), make(chan error)
				var mu sync.Mutex
				var errs []error
				ids := map[string]bool{}
				for range 10 {
					go func() {
						id, err := l.Refuse(context.Background(), refusal("192.0.2.1", "scope_denied"))
						mu.Lock()
						defer mu.Unlock()
						errs, ids[id] = append(errs, err), true
					}()
				}
				<-g.entered
				synctest.Wait()
				if len(errs) != 0 {
					t.Fatalf("%d were answered before the sink was", len(errs))
				}
				g.answer <- answer
				g.entered = nil
				synctest.Wait()
				if len(errs) != 10 {
					t.Fatalf("%d were answered, want 10", len(errs))
				}
				for _, err := range errs {
					if !errors.Is(err, answer) {
						t.Errorf("Refuse = %v, want %v", err, answer)
					}
				}
				if answer == nil && len(ids) != 1 {
					t.Errorf("the answers name %d records, want one", len(ids))
				}
				closeLog(t, l)
				if r := verify(t, g.Sources()); len(r.OpenCounts) != 0 {
					t.Errorf("got %+v, want nothing open", r)
				}
			})
		})
	}
}

func TestRefusalsConcurrently(t *testing.T) {
	var m audittest.Memory
	l := newLog(t, &m)
	var wg sync.WaitGroup
	const callers, each = 16, 200
	for i := range callers {
		wg.Go(func() {
			for range each {
				refuse(t, l, fmt.Sprintf("192.0.2.%d", i%3), "scope_denied")
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	if got := tallyOf(t, &m); got.total != callers*each || got.begun != got.ended {
		t.Errorf("got %+v, want %d told of", got, callers*each)
	}
	verify(t, m.Sources())
}

// An aggregate that could not be begun stands for nobody: whoever comes next is recorded anew.
func TestRefusalsAfterAnAggregateThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audittest.Memory
		l := newLog(t, &m)
		const listed = 50
		for range listed {
			refuse(t, l, "192.0.2.1", "token_invalid")
		}
		m.Fail(errDisk, 0)
		if _, err := l.Refuse(context.Background(), refusal("192.0.2.1", "token_invalid")); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("Refuse = %v, want ErrUnavailable", err)
		}
		m.Fail(nil, 0)
		refuse(t, l, "192.0.2.1", "token_invalid")
		closeLog(t, l)
		if got := tallyOf(t, &m); got.listed != listed+1 || got.begun != 0 {
			t.Errorf("got %+v, want %d with records of their own", got, listed+1)
		}
	})
}
