package extensionapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/functions/internal/extensionapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lambda is the Extensions API.
type lambda struct {
	events chan string   // what next answers
	asked  chan struct{} // closed by the first call of next

	once  sync.Once // closes asked
	mu    sync.Mutex
	calls []string // each with the identifier and the type of the error
	last  string   // body
}

func (l *lambda) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.mu.Lock()
	call := strings.TrimPrefix(r.Method+" "+r.URL.Path, "/2020-01-01/extension")
	l.calls = append(l.calls, strings.Join(strings.Fields(call+" "+r.Header.Get("Lambda-Extension-Identifier")+" "+r.Header.Get("Lambda-Extension-Function-Error-Type")), " "))
	l.last = string(body)
	l.mu.Unlock()
	switch r.URL.Path {
	case "/2020-01-01/extension/register":
		if r.Header.Get("Lambda-Extension-Name") != "keyhole" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Lambda-Extension-Identifier", "id-1")
		_, _ = io.WriteString(w, `{"functionName":"payments","functionVersion":"7","handler":"h","accountId":"123456789012","later":1}`)
	case "/2020-01-01/extension/event/next":
		l.once.Do(func() { close(l.asked) })
		select {
		case e := <-l.events:
			_, _ = io.WriteString(w, e)
		case <-r.Context().Done():
		}
	default:
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"OK"}`)
	}
}

func start(t *testing.T, events ...string) (*lambda, *extensionapi.Client) {
	t.Helper()
	l := &lambda{events: make(chan string, len(events)), asked: make(chan struct{})}
	for _, e := range events {
		l.events <- e
	}
	s := httptest.NewServer(l)
	t.Cleanup(s.Close)
	return l, extensionapi.New(strings.TrimPrefix(s.URL, "http://"), "keyhole")
}

func (l *lambda) want(t *testing.T, calls ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.calls, calls) {
		t.Errorf("got calls %q, want %q", l.calls, calls)
	}
}

// program serves until it is told to end, or ends with an error of its own, when it is to.
type program struct {
	ends    error
	after   <-chan struct{} // when it ends
	closed  bool
	invoked []int64
}

func (p *program) Serve(ctx context.Context) error {
	if p.ends != nil {
		<-p.after
		return p.ends
	}
	<-ctx.Done()
	return nil
}

func (p *program) Invoked(until time.Time) { p.invoked = append(p.invoked, until.UnixMilli()) }

func (p *program) Close() error { p.closed = true; return nil }

const (
	register = "POST /2020-01-01/extension/register"
	next     = "GET /2020-01-01/extension/event/next id-1"
	invoke   = `{"eventType":"INVOKE","deadlineMs":1,"requestId":"r","invokedFunctionArn":"a","tracing":{"type":"X-Amzn-Trace-Id","value":"v"}}`
	shutdown = `{"eventType":"SHUTDOWN","shutdownReason":"SPINDOWN","deadlineMs":2}`
)

func run(t *testing.T, c *extensionapi.Client, p *program) error {
	t.Helper()
	err := c.Run(t.Context(), func(context.Context) (extensionapi.Program, error) { return p, nil })
	if !p.closed {
		t.Error("what was opened is not closed")
	}
	return err
}

func TestRun(t *testing.T) {
	l, c := start(t, invoke, invoke, shutdown)
	p := &program{}
	if err := run(t, c, p); err != nil || !slices.Equal(p.invoked, []int64{1, 1}) {
		t.Errorf("got %v, %v", p.invoked, err)
	}
	l.want(t, register, next, next, next)
}

func TestRegister(t *testing.T) {
	l, c := start(t, shutdown)
	f, err := c.Register(t.Context(), extensionapi.Invoke, extensionapi.Shutdown)
	want := extensionapi.Function{Name: "payments", Version: "7", Handler: "h", AccountID: "123456789012"}
	if err != nil || f != want || l.last != `{"events":["INVOKE","SHUTDOWN"]}` {
		t.Errorf("got %+v, %v, having sent %s", f, err, l.last)
	}
	e, err := c.Next(t.Context())
	if err != nil || (e != extensionapi.Event{Type: "SHUTDOWN", DeadlineMS: 2, Reason: "SPINDOWN"}) {
		t.Errorf("got %+v, %v", e, err)
	}
}

// What cannot start says so, under a name that it must have for that.
func TestInitError(t *testing.T) {
	l, c := start(t)
	reason := errors.New(`listen.aws: "in use"`)
	err := c.Run(t.Context(), func(context.Context) (extensionapi.Program, error) { return nil, reason })
	if !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
	l.want(t, register, "POST /2020-01-01/extension/init/error id-1 Keyhole.Configuration")
	var body struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal([]byte(l.last), &body); err != nil || body.ErrorType != "Keyhole.Configuration" || body.ErrorMessage != reason.Error() {
		t.Errorf("got %s, %v", l.last, err)
	}
}

// Who stops by himself tells why.
func TestExitError(t *testing.T) {
	reason := errors.New("the listener is gone")
	l, c := start(t)
	if err := run(t, c, &program{ends: reason, after: l.asked}); !errors.Is(err, reason) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	l.want(t, register, next, "POST /2020-01-01/extension/exit/error id-1 Keyhole.Exit")
	if !strings.Contains(l.last, reason.Error()) {
		t.Errorf("got %s", l.last)
	}
}

// Also who has stopped before it is registered, when there is nobody yet to tell it to.
func TestExitErrorBeforeTheRegistration(t *testing.T) {
	l, c := start(t)
	now := make(chan struct{})
	close(now)
	if err := run(t, c, &program{ends: errors.New("no listener"), after: now}); err == nil {
		t.Error("no error")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.calls, "POST /2020-01-01/extension/exit/error id-1 Keyhole.Exit") {
		t.Errorf("got calls %q", l.calls)
	}
}

func TestEventThatIsNone(t *testing.T) {
	for _, event := range []string{`{"eventType":"OTHER"}`, `{}`, `no`} {
		l, c := start(t, event)
		if err := run(t, c, &program{}); !errors.Is(err, extensionapi.ErrRefused) {
			t.Errorf("got %v", err)
		}
		l.want(t, register, next, "POST /2020-01-01/extension/exit/error id-1 Keyhole.Exit")
	}
}

// Whoever is stopped from outside, as by a signal, has no error to tell of.
func TestStop(t *testing.T) {
	l, c := start(t)
	ctx, stop := context.WithCancel(t.Context())
	p := &program{}
	err := c.Run(ctx, func(context.Context) (extensionapi.Program, error) {
		stop()
		return p, nil
	})
	if err != nil || !p.closed {
		t.Errorf("got %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, call := range l.calls {
		if strings.Contains(call, "error") {
			t.Errorf("got %q", call)
		}
	}
}

// Who is told to stop while it finds out that it cannot start says all the same why.
func TestInitErrorAtTheEnd(t *testing.T) {
	l, c := start(t)
	ctx, stop := context.WithCancel(t.Context())
	reason := errors.New("no")
	err := c.Run(ctx, func(context.Context) (extensionapi.Program, error) {
		stop()
		return nil, reason
	})
	if !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
	l.want(t, register, "POST /2020-01-01/extension/init/error id-1 Keyhole.Configuration")
}

// An answer is read as far as it can be one.
func TestAnswerThatIsTooLong(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Lambda-Extension-Identifier", "id-1")
		_, _ = io.WriteString(w, `{"functionName":"payments"`+strings.Repeat(" ", 1<<20)+`}`)
	}))
	defer s.Close()
	f, err := extensionapi.New(strings.TrimPrefix(s.URL, "http://"), "keyhole").Register(t.Context(), extensionapi.Invoke)
	if !errors.Is(err, extensionapi.ErrRefused) {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestAPIThatRefuses(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	for name, c := range map[string]*extensionapi.Client{
		"no API": extensionapi.New("127.0.0.1:1", "keyhole"),
		"no":     extensionapi.New(strings.TrimPrefix(s.URL, "http://"), "keyhole"),
	} {
		if err := run(t, c, &program{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
