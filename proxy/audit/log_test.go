package audit_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func closeLog(t *testing.T, l *audit.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func appendOne(t *testing.T, l *audit.Log) {
	t.Helper()
	if err := l.Append(context.Background(), audittest.Access()); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

func kinds(t *testing.T, m *audittest.Memory) string {
	t.Helper()
	var out []string
	for _, s := range m.Sources() {
		err := audit.Scan(s.Reader, func(_ []byte, r *audit.Record) error {
			out = append(out, string(r.Kind))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(out, " ")
}

func TestNewRefuses(t *testing.T) {
	ok := audit.Config{Sink: &audittest.Memory{}, Key: audittest.Key()}
	for name, change := range map[string]func(*audit.Config){
		"no sink":       func(c *audit.Config) { c.Sink = nil },
		"no key":        func(c *audit.Config) { c.Key = nil },
		"short key":     func(c *audit.Config) { c.Key = c.Key[:32] },
		"short seed":    func(c *audit.Config) { c.Key, c.Seed = nil, c.Key[:31] },
		"key and seed":  func(c *audit.Config) { c.Seed = c.Key.Seed() },
		"instance":      func(c *audit.Config) { c.Instance = "a\nb" },
		"long instance": func(c *audit.Config) { c.Instance = strings.Repeat("a", 129) },
		"region":        func(c *audit.Config) { c.Region = "a b" },
		"every":         func(c *audit.Config) { c.CheckpointEvery = -1 },
		"interval":      func(c *audit.Config) { c.CheckpointInterval = -1 },
	} {
		c := ok
		change(&c)
		if _, err := audit.New(c); err == nil {
			t.Errorf("%s: New took it", name)
		}
	}
	failing := &audittest.Memory{}
	failing.Fail(errDisk, 0)
	if _, err := audit.New(audit.Config{Sink: failing, Key: audittest.Key()}); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("New with a failing sink = %v, want ErrUnavailable", err)
	}
}

// A log that is given a seed is that of its key, in every byte that the key has a part in.
func TestSeed(t *testing.T) {
	var m audittest.Memory
	text, err := audit.MarshalKey(audittest.Key())
	if err != nil {
		t.Fatal(err)
	}
	seed, err := audit.ParseSeed(text)
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.New(audit.Config{Sink: &m, Seed: seed, ShowKey: true})
	if err != nil {
		t.Fatal(err)
	}
	other := newLog(t, &audittest.Memory{})
	if l.ValueMAC([]byte("v")) != other.ValueMAC([]byte("v")) {
		t.Error("values have other MACs")
	}
	closeLog(t, other)
	closeLog(t, l)
	res, err := audit.Verify(m.Sources(), audit.VerifyOptions{PublicKey: audittest.PublicKey()})
	if err != nil || !res.Sealed {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	var m audittest.Memory
	l := newLog(t, &m)
	defer closeLog(t, l)
	writes := m.Writes()
	for name, change := range map[string]func(*audit.Record){
		"seal":                 func(r *audit.Record) { r.Kind = audit.Seal },
		"unknown kind":         func(r *audit.Record) { r.Kind = "x" },
		"no id":                func(r *audit.Record) { r.ID = "" },
		"hostile id":           func(r *audit.Record) { r.ID = strings.Repeat("\n", 26) },
		"outcome without pair": func(r *audit.Record) { r.Kind = audit.Outcome },
	} {
		r := audittest.Access()
		change(r)
		if err := l.Append(context.Background(), r); !errors.Is(err, audit.ErrInvalidRecord) {
			t.Errorf("%s: Append = %v, want ErrInvalidRecord", name, err)
		}
	}
	if m.Writes() != writes {
		t.Error("a refused record reached the sink")
	}
}

func TestAppendAfterClose(t *testing.T) {
	var m audittest.Memory
	l := newLog(t, &m)
	closeLog(t, l)
	closeLog(t, l)
	if err := l.Append(context.Background(), audittest.Access()); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("Append = %v, want ErrUnavailable", err)
	}
	if err := l.Healthy(); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("Healthy = %v, want ErrUnavailable", err)
	}
	if got, want := kinds(t, &m), "birth seal"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCheckpointEvery(t *testing.T) {
	var m audittest.Memory
	l, err := audit.New(audit.Config{Sink: &m, Key: audittest.Key(), CheckpointEvery: 2})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		appendOne(t, l)
	}
	closeLog(t, l)
	if got, want := kinds(t, &m), "birth access access checkpoint access access checkpoint access seal"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCheckpointInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audittest.Memory
		l := newLog(t, &m)
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := kinds(t, &m); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		time.Sleep(time.Minute)
		expect("birth") // an idle log does not grow
		appendOne(t, l)
		time.Sleep(10 * time.Second)
		expect("birth access checkpoint")
		time.Sleep(time.Minute)
		expect("birth access checkpoint")
		closeLog(t, l)
		time.Sleep(time.Minute)
		expect("birth access checkpoint seal")
	})
}

// A node that is not ready gets no requests: it must come back by itself.
func TestRecoversWithoutRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audittest.Memory
		l := newLog(t, &m)
		appendOne(t, l)
		m.Fail(errDisk, 10)
		if err := l.Append(context.Background(), audittest.Access()); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("Append = %v, want ErrUnavailable", err)
		}
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		if got := m.Writes(); got > 10 {
			t.Errorf("the sink was asked %d times in 5 s", got)
		}
		if err := l.Healthy(); !errors.Is(err, errDisk) {
			t.Errorf("Healthy = %v, want the cause", err)
		}
		m.Fail(nil, 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if err := l.Healthy(); err != nil {
			t.Errorf("Healthy = %v after the sink is back", err)
		}
		appendOne(t, l)
		closeLog(t, l)
		if r := verify(t, m.Sources()); r.Failures != 1 || !r.Sealed || r.Records != 5 {
			t.Errorf("got %+v, want one failure, five records and a seal", r)
		}
	})
}

// A failing sink must not be asked once per request.
func TestFailureIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m audittest.Memory
		l := newLog(t, &m)
		m.Fail(errDisk, 0)
		before := m.Writes()
		for range 1000 {
			if err := l.Append(context.Background(), audittest.Access()); !errors.Is(err, audit.ErrUnavailable) {
				t.Fatalf("Append = %v, want ErrUnavailable", err)
			}
		}
		if got := m.Writes() - before; got != 2 {
			t.Errorf("the sink was asked %d times, want a write and one reopening", got)
		}
		m.Fail(nil, 0)
		closeLog(t, l) // Close does not wait for the next attempt's time
		if r := verify(t, m.Sources()); !r.Sealed {
			t.Error("no seal after Close")
		}
	})
}

// gate lets a test hold the sink in the middle of a write.
type gate struct {
	*audittest.Memory
	entered chan struct{}
	answer  chan error

	rotating bool // say that the file is full
}

func (g *gate) Full() bool { return g.rotating || g.Memory.Full() }

func (g *gate) Reopen(batch []byte) error {
	if g.entered == nil || !g.rotating {
		return g.Memory.Reopen(batch)
	}
	g.entered <- struct{}{}
	if err := <-g.answer; err != nil {
		g.Memory.Fail(err, 0)
		defer g.Memory.Fail(nil, 0)
		return g.Memory.Reopen(batch)
	}
	return g.Memory.Reopen(batch)
}

func (g *gate) Write(batch []byte) error {
	if g.entered == nil {
		return g.Memory.Write(batch)
	}
	g.entered <- struct{}{}
	if err := <-g.answer; err != nil {
		g.Memory.Fail(err, len(batch)/2)
		defer g.Memory.Fail(nil, 0)
		return g.Memory.Write(batch)
	}
	return g.Memory.Write(batch)
}

// I1: nobody is told before the batch with his record is acknowledged, and a failure reaches everybody who waits.
func TestGroupCommit(t *testing.T) {
	for name, answer := range map[string]error{"acknowledged": nil, "failed": errDisk} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gate{Memory: &audittest.Memory{}}
				l := newLog(t, g)
				g.entered, g.answer = make(chan struct{}), make(chan error)
				before := g.Writes()
				var mu sync.Mutex
				var errs []error
				for range 10 {
					go func() {
						err := l.Append(context.Background(), audittest.Access())
						mu.Lock()
						errs = append(errs, err)
						mu.Unlock()
					}()
				}
				<-g.entered // one leads, nine wait in the next batch
				synctest.Wait()
				if len(errs) != 0 {
					t.Fatalf("%d appends returned before the sink answered", len(errs))
				}
				g.answer <- answer
				if answer == nil {
					<-g.entered
					g.answer <- nil
				}
				synctest.Wait()
				if len(errs) != 10 {
					t.Fatalf("%d appends returned, want 10", len(errs))
				}
				for _, err := range errs {
					if !errors.Is(err, answer) {
						t.Errorf("Append = %v, want %v", err, answer)
					}
				}
				wantWrites := 2
				if answer != nil {
					wantWrites = 1
				}
				if got := g.Writes() - before; got != wantWrites {
					t.Errorf("%d writes, want %d", got, wantWrites)
				}
				g.entered = nil
				appendOne(t, l)
				closeLog(t, l)
				verify(t, g.Sources())
			})
		})
	}
}

// Batches that grew large while the sink was slow do not stay in memory.
func TestLargeBuffersAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{Memory: &audittest.Memory{}}
		l := newLog(t, g)
		g.entered, g.answer = make(chan struct{}), make(chan error)
		var all sync.WaitGroup
		record := func() {
			all.Go(func() {
				if err := l.Append(context.Background(), audittest.Access()); err != nil {
					t.Error(err)
				}
			})
		}
		record()
		<-g.entered
		for range 4000 {
			record()
		}
		synctest.Wait()
		before := len(g.Text())
		g.answer <- nil
		<-g.entered
		g.answer <- nil
		all.Wait()
		if large := len(g.Text()) - before; large < 2<<20 {
			t.Fatalf("the batches had %d bytes, too few to tell", large)
		}
		if kept := audit.Kept(l); kept == 0 || kept > 2<<20 {
			t.Errorf("buffers of %d bytes are kept, want some, of 2 MiB at the most", kept)
		}
		g.entered = nil
		closeLog(t, l)
	})
}

// The second batch is chained to the first before that is written; when it fails, the log goes on after the first.
func TestSecondBatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{Memory: &audittest.Memory{}}
		l := newLog(t, g)
		g.entered, g.answer = make(chan struct{}), make(chan error)
		done := make(chan error, 3)
		for range 3 {
			go func() { done <- l.Append(context.Background(), audittest.Access()) }()
			synctest.Wait()
		}
		<-g.entered
		g.answer <- nil
		if err := <-done; err != nil {
			t.Errorf("first batch: %v", err)
		}
		<-g.entered
		g.answer <- errDisk
		for range 2 {
			if err := <-done; !errors.Is(err, audit.ErrUnavailable) {
				t.Errorf("second batch: %v, want ErrUnavailable", err)
			}
		}
		g.entered = nil
		appendOne(t, l)
		closeLog(t, l)
		if r := verify(t, g.Sources()); r.Records != 5 || r.Failures != 1 {
			t.Errorf("got %+v, want two births, two records, a seal", r)
		}
	})
}

func TestAppendStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{Memory: &audittest.Memory{}}
		l := newLog(t, g)
		g.entered, g.answer = make(chan struct{}), make(chan error)
		done := make(chan error, 3)
		for range 2 { // the second leads the second batch and waits for its turn
			go func() { done <- l.Append(context.Background(), audittest.Access()) }()
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, errDisk)
		defer cancel()
		if err := l.Append(ctx, audittest.Access()); !errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, errDisk) {
			t.Errorf("Append = %v, want ErrUnavailable and the cause of ctx", err)
		}
		for range 2 {
			<-g.entered
			g.answer <- nil
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("Append: %v", err)
			}
		}
		g.entered = nil
		closeLog(t, l)
		if r := verify(t, g.Sources()); r.Records != 1+3+1 {
			t.Errorf("%d records, want 5: the one that nobody waited for stays", r.Records)
		}
	})
}

// While a sink hangs, the records of callers who gave up do not pile up, whoever comes is refused, and the log says how it
// is. The outcome of a change that was begun is taken all the same.
func TestHangingSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{Memory: &audittest.Memory{}}
		l := newLog(t, g)
		g.entered, g.answer = make(chan struct{}), make(chan error)
		done := make(chan error, 2)
		for range 2 { // the second leads the batch that waits
			go func() { done <- l.Append(context.Background(), audittest.Access()) }()
			synctest.Wait()
		}
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		r := audittest.Access()
		r.Decision.Reason = strings.Repeat("x", audit.MaxReason)
		const most = 16 << 10 // records of more than 512 bytes in 8 MiB
		taken := 0
		for taken < most && errors.Is(l.Append(gone, r), context.Canceled) {
			taken++
		}
		if taken < 100 || taken == most {
			t.Errorf("%d records of callers who gave up were taken", taken)
		}
		if err := l.Append(context.Background(), r); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("Append = %v, want ErrUnavailable at once", err)
		}
		outcome := audittest.Access()
		outcome.Kind, outcome.Pair = audit.Outcome, outcome.ID
		if err := l.Append(gone, outcome); !errors.Is(err, context.Canceled) {
			t.Errorf("an outcome: %v, want that it is taken", err)
		}
		if err := l.Healthy(); err != nil {
			t.Errorf("at first: Healthy = %v", err)
		}
		time.Sleep(5 * time.Second)
		if err := l.Healthy(); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("Healthy = %v while the sink hangs", err)
		}
		for range 2 {
			<-g.entered
			g.answer <- nil
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("Append: %v", err)
			}
		}
		g.entered = nil
		time.Sleep(5 * time.Second)
		if err := l.Healthy(); err != nil {
			t.Errorf("afterwards: Healthy = %v", err)
		}
		appendOne(t, l)
		closeLog(t, l)
		verify(t, g.Sources())
	})
}

func TestPanickingSink(t *testing.T) {
	var m audittest.Memory
	p := &panicking{Sink: &m}
	l := newLog(t, p)
	p.now = true
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not come through")
			}
		}()
		_ = l.Append(context.Background(), audittest.Access())
	}()
	p.now = false
	appendOne(t, l)
	closeLog(t, l)
	if r := verify(t, m.Sources()); r.Failures != 1 {
		t.Errorf("%d failures, want 1: what was stored is unknown", r.Failures)
	}
}

type panicking struct {
	audit.Sink
	now bool
}

func (p *panicking) Write(b []byte) error {
	if p.now {
		panic("defect")
	}
	return p.Sink.Write(b)
}

func TestConcurrentAppends(t *testing.T) {
	var m audittest.Memory
	l, err := audit.New(audit.Config{Sink: &m, Key: audittest.Key(), CheckpointEvery: 50, CheckpointInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	const appenders, each = 64, 30
	var wg sync.WaitGroup
	acked := make([][]string, appenders)
	for i := range appenders {
		wg.Go(func() {
			for n := range each {
				if i == 0 && n%10 == 5 {
					m.Fail(errDisk, 700)
				}
				r := audittest.Access()
				if l.Append(context.Background(), r) == nil {
					acked[i] = append(acked[i], r.ID)
				}
				if i == 0 && n%10 == 6 {
					m.Fail(nil, 0)
				}
				_ = l.Healthy()
			}
		})
	}
	wg.Wait()
	m.Fail(nil, 0)
	closeLog(t, l)
	verify(t, m.Sources())
	text := m.Text()
	for _, ids := range acked {
		for _, id := range ids {
			if !strings.Contains(text, id) {
				t.Fatalf("record %s was acknowledged and is not in the log", id)
			}
		}
	}
}

func TestMAC(t *testing.T) {
	l := newLog(t, &audittest.Memory{})
	defer closeLog(t, l)
	other, err := audit.New(audit.Config{Sink: &audittest.Memory{}, Key: ed25519.NewKeyFromSeed(make([]byte, 32))})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog(t, other)
	field := func(name, value string) secret.Field {
		return secret.Field{Name: name, Value: secret.NewValue([]byte(value))}
	}
	macs := map[audit.MAC]string{{}: "none"}
	for name, mac := range map[string]audit.MAC{
		"value":         l.ValueMAC([]byte("value")),
		"empty":         l.ValueMAC(nil),
		"other key":     other.ValueMAC([]byte("value")),
		"ab c":          l.SecretMAC(&secret.Secret{Fields: []secret.Field{field("ab", "c")}}),
		"a bc":          l.SecretMAC(&secret.Secret{Fields: []secret.Field{field("a", "bc")}}),
		"a b, c d":      l.SecretMAC(&secret.Secret{Fields: []secret.Field{field("a", "b"), field("c", "d")}}),
		"no fields":     l.SecretMAC(&secret.Secret{Fields: []secret.Field{}}),
		"like a field":  l.ValueMAC([]byte("\x00\x00\x00\x01\x00\x00\x00\x02ab\x00\x00\x00\x01c")),
		"like a field2": l.ValueMAC([]byte("\x02\x00\x00\x00\x01\x00\x00\x00\x02ab\x00\x00\x00\x01c")),
	} {
		if same, ok := macs[mac]; ok {
			t.Errorf("%q and %q have the same MAC", name, same)
		}
		macs[mac] = name
	}
	s := secret.Secret{Value: secret.NewValue([]byte("value"))}
	if got, want := l.SecretMAC(&s), l.ValueMAC([]byte("value")); got != want {
		t.Errorf("an opaque secret: got %x, want %x", got, want)
	}
}
