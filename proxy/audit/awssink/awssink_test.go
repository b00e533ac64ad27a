package awssink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
	"github.com/keyhole-edge/keyhole/proxy/audit/awssink"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/dynalitetest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const name = "keyhole-audit"

func config(url string) awssink.Config {
	return awssink.Config{AWS: awsjson.Config{Region: awsemu.Region, Endpoint: url, Credentials: awsemu.User()}, Name: name}
}

// service is a service that a sink writes to.
type service struct {
	sink    func(t *testing.T) *awssink.Sink
	sources func(t *testing.T) []audit.Source
	// stand has f stand in the way of each call; nil takes it away. f returns whether it has answered, and answer carries
	// the call out.
	stand func(f func(w http.ResponseWriter, answer func(http.ResponseWriter)) bool)
}

// patient is a sink that a slow machine does not end attempts of.
func patient(t *testing.T, open func(awssink.Config) (*awssink.Sink, error), url string) *awssink.Sink {
	t.Helper()
	s, err := open(config(url))
	if err != nil {
		t.Fatal(err)
	}
	awssink.SetTimes(s, time.Minute, time.Minute)
	return s
}

func firehose(t *testing.T) service {
	emu, url := awsemu.Start(t)
	emu.PutStream(awsemu.Region, name)
	return service{
		sink: func(t *testing.T) *awssink.Sink {
			return patient(t, awssink.NewFirehose, url)
		},
		sources: func(*testing.T) []audit.Source { return delivered(emu) },
		stand: func(f func(http.ResponseWriter, func(http.ResponseWriter)) bool) {
			if f == nil {
				emu.Interpose(nil)
				return
			}
			var again func(w http.ResponseWriter, r *http.Request, action string) bool
			again = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				return f(w, func(w http.ResponseWriter) {
					emu.Interpose(nil)
					emu.ServeHTTP(w, r)
					emu.Interpose(again)
				})
			}
			emu.Interpose(again)
		},
	}
}

// delivered is the objects of a stream as Firehose may make them: out of order, and one record twice.
func delivered(emu *awsemu.Server) []audit.Source {
	records := emu.Delivered(awsemu.Region, name)
	if len(records) > 0 {
		records = append(records, records[0])
	}
	rand.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	var out []audit.Source
	for part := range slices.Chunk(records, 3) {
		out = append(out, audit.Source{Name: "object", Reader: bytes.NewReader(bytes.Join(part, nil))})
	}
	return out
}

// dynamoDB is a table in dynalite.
func dynamoDB(t *testing.T) service {
	url := dynalitetest.Start(t)
	table := newTable(t, url)
	mux := &standing{next: table.forward}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return service{
		sink: func(t *testing.T) *awssink.Sink {
			return patient(t, awssink.NewDynamoDB, srv.URL)
		},
		sources: table.sources,
		stand:   mux.stand,
	}
}

// standing is a server that something stands in the way of.
type standing struct {
	next func(http.ResponseWriter, *http.Request)

	mu sync.Mutex
	f  func(http.ResponseWriter, func(http.ResponseWriter)) bool
}

func (s *standing) stand(f func(http.ResponseWriter, func(http.ResponseWriter)) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.f = f
}

func (s *standing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	f := s.f
	s.mu.Unlock()
	if f == nil || !f(w, func(w http.ResponseWriter) { s.next(w, r) }) {
		s.next(w, r)
	}
}

// services are those that a test runs over.
var services = map[string]func(t *testing.T) service{"firehose": firehose, "dynamodb": dynamoDB}

func each(t *testing.T, test func(t *testing.T, s service)) {
	for name, start := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

func TestConforms(t *testing.T) {
	for name, start := range services {
		t.Run(name, func(t *testing.T) {
			audittest.Run(t, func(t *testing.T) audittest.Harness {
				s := start(t)
				return audittest.Harness{Sink: func(t *testing.T) audit.Sink { return s.sink(t) }, Sources: s.sources, Shared: true}
			})
		})
	}
}

func newLog(t *testing.T, s audit.Sink) *audit.Log {
	t.Helper()
	l, err := audit.New(audit.Config{Sink: s, Key: audittest.Key(), CheckpointInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func appended(l *audit.Log) error { return l.Append(context.Background(), audittest.Access()) }

func closeLog(t *testing.T, l *audit.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func verify(t *testing.T, s service) audit.Report {
	t.Helper()
	r, err := audit.VerifyCollected(s.sources(t), audit.VerifyOptions{PublicKey: audittest.PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func refuse(status int, code string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"__type":"com.amazonaws#` + code + `","message":"no"}`))
	}
}

func abort(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// What passes is waited for, and the record is there once, whether or not the first attempt was heard.
func TestPassingFaults(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		l := newLog(t, s.sink(t))
		want := uint64(2)
		for fault, f := range map[string]struct {
			carriedOut bool
			answer     func(http.ResponseWriter)
		}{
			"throttled":      {false, refuse(http.StatusBadRequest, "ProvisionedThroughputExceededException")},
			"server error":   {false, refuse(http.StatusInternalServerError, "InternalServerError")},
			"unavailable":    {false, refuse(http.StatusServiceUnavailable, "ServiceUnavailableException")},
			"lost request":   {false, abort},
			"lost answer":    {true, abort},
			"broken answer":  {true, func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"Record`)) }},
			"gateway's page": {true, func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) }},
		} {
			left := 2
			s.stand(func(w http.ResponseWriter, carryOut func(http.ResponseWriter)) bool {
				if left--; left < 0 {
					return false
				}
				if f.carriedOut {
					carryOut(httptest.NewRecorder())
				}
				f.answer(w)
				return true
			})
			if err := appended(l); err != nil {
				t.Errorf("%s: %v", fault, err)
			}
			if left >= 0 {
				t.Errorf("%s: not tried again", fault)
			}
			want++
		}
		s.stand(nil)
		closeLog(t, l)
		if r := verify(t, s); r.Records != want || r.Instances != 1 || r.Abandoned != 0 {
			t.Errorf("got %+v, want %d records of one instance", r, want)
		}
	})
}

// What does not pass is no acknowledgement, and is not insisted on; the log goes on as another instance.
func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		for code, want := range map[string]error{
			"AccessDeniedException": secret.ErrDenied, "ResourceNotFoundException": secret.ErrNotFound, "ValidationException": awsjson.ErrRequest,
			"UnrecognizedClientException": awsjson.ErrLogin,
		} {
			l := newLog(t, s.sink(t))
			if err := appended(l); err != nil {
				t.Fatal(err)
			}
			calls := 0
			s.stand(func(w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
				calls++
				refuse(http.StatusBadRequest, code)(w)
				return true
			})
			if err := appended(l); !errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, want) || calls != 1 {
				t.Errorf("%s: %v after %d calls, want %v after one", code, err, calls, want)
			}
			s.stand(nil)
			if err := appended(l); err != nil {
				t.Errorf("%s: %v after it", code, err)
			}
			closeLog(t, l)
		}
		if r := verify(t, s); r.Failures != 4 || !r.Sealed {
			t.Errorf("got %+v, want four failures and a seal", r)
		}
	})
}

// An answer that says nothing is no acknowledgement, and is what is told of, also where the last attempt had none.
func TestFirehoseWithoutRecordID(t *testing.T) {
	s := firehose(t)
	sink := s.sink(t)
	awssink.SetTimes(sink, awssink.Patience, awssink.Attempt)
	gone := make(chan struct{})
	var answers atomic.Int32
	s.stand(func(w http.ResponseWriter, _ func(http.ResponseWriter)) bool {
		if answers.Add(1) > 3 {
			<-gone
			return true
		}
		_, _ = w.Write([]byte(`{"Encrypted":false}`))
		return true
	})
	if err := sink.Write([]byte("{}\n")); !errors.Is(err, awsjson.ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
	s.stand(nil)
	close(gone)
	_ = sink.Close()
}

// A service that does not answer: callers are told when their time is over, the log when the sink's is. What is heard after
// that is abandoned, and no number stands for two records.
func TestSilence(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		sink := s.sink(t)
		awssink.SetTimes(sink, awssink.Patience, awssink.Attempt)
		l := newLog(t, sink)
		if err := appended(l); err != nil {
			t.Fatal(err)
		}
		gone := make(chan struct{})
		s.stand(func(_ http.ResponseWriter, carryOut func(http.ResponseWriter)) bool {
			carryOut(httptest.NewRecorder())
			<-gone
			return true
		})
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		if err := l.Append(ctx, audittest.Access()); !errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrUnavailable at the caller's deadline", err)
		}
		if err := appended(l); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		s.stand(nil)
		close(gone)
		if err := appended(l); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		closeLog(t, l)
		if r := verify(t, s); r.Instances != 2 || r.Failures != 1 || r.Abandoned == 0 || !r.Sealed {
			t.Errorf("got %+v, want two instances and abandoned lines", r)
		}
	})
}

// One attempt that nobody answers does not take the time of the others.
func TestSilentAttempt(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		sink := s.sink(t)
		awssink.SetTimes(sink, time.Minute, awssink.Attempt)
		l := newLog(t, sink)
		if err := appended(l); err != nil {
			t.Fatal(err)
		}
		gone := make(chan struct{})
		var heard atomic.Bool
		s.stand(func(_ http.ResponseWriter, carryOut func(http.ResponseWriter)) bool {
			if heard.Swap(true) {
				return false
			}
			carryOut(httptest.NewRecorder())
			<-gone
			return true
		})
		if err := appended(l); err != nil {
			t.Error(err)
		}
		s.stand(nil)
		close(gone)
		closeLog(t, l)
		if r := verify(t, s); r.Instances != 1 || r.Abandoned != 0 || !r.Sealed {
			t.Errorf("got %+v, want one instance", r)
		}
	})
}

// A batch that one call does not take goes in parts, and none follows one that was refused.
func TestParts(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		sink := s.sink(t)
		awssink.SetMost(sink, 64<<10)
		l := newLog(t, sink)
		if err := appended(l); err != nil {
			t.Fatal(err)
		}
		// Records pile up behind one that is not answered yet, until they are a batch of several parts.
		entered, held, refused := make(chan struct{}), make(chan struct{}), make(chan struct{})
		calls := 0
		s.stand(func(w http.ResponseWriter, carryOut func(http.ResponseWriter)) bool {
			switch calls++; calls {
			case 1:
				close(entered)
				<-held
			case 3:
				close(refused)
				refuse(http.StatusBadRequest, "ValidationException")(w)
				return true
			}
			carryOut(w)
			return true
		})
		first := make(chan error, 1)
		go func() { first <- appended(l) }()
		<-entered
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		for range 300 {
			_ = l.Append(gone, audittest.Access())
		}
		close(held)
		if err := <-first; err != nil {
			t.Errorf("the one before: %v", err)
		}
		<-refused
		for appended(l) != nil { // until the refusal is known
		}
		s.stand(nil)
		const more = 150
		for range more {
			_ = l.Append(gone, audittest.Access())
		}
		closeLog(t, l)
		r := verify(t, s)
		if r.Failures != 1 || r.Records < more || r.Abandoned < 20 || r.Abandoned > 100 {
			t.Errorf("got %d records, %d abandoned, %d failures; want that one part is abandoned", r.Records, r.Abandoned, r.Failures)
		}
	})
}

func TestNames(t *testing.T) {
	c := config("http://127.0.0.1:1")
	c.Name = ""
	if _, err := awssink.NewFirehose(c); err == nil || !strings.Contains(err.Error(), "no name") {
		t.Errorf("got %v", err)
	}
	c.Name, c.AWS.Region = name, ""
	if _, err := awssink.NewDynamoDB(c); err == nil || !strings.Contains(err.Error(), "region") {
		t.Errorf("got %v", err)
	}
}

// A record of the stream and an item of the table are as large as the service takes them, and no larger.
func TestPartsAreFilled(t *testing.T) {
	var m audittest.Memory
	l := newLog(t, &m)
	for len(m.Text()) < 1200<<10 {
		if err := appended(l); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	batch := m.Text()
	for name, tt := range map[string]struct {
		open func(awssink.Config) (*awssink.Sink, error)
		most int
	}{"firehose": {awssink.NewFirehose, 1000 << 10}, "dynamodb": {awssink.NewDynamoDB, 399 << 10}} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var bodies [][]byte
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return // an attempt that was given up
				}
				mu.Lock()
				bodies = append(bodies, body)
				mu.Unlock()
				_, _ = w.Write([]byte(`{"RecordId":"1"}`))
			}))
			s, err := tt.open(config(srv.URL))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Write([]byte(batch)); err != nil {
				t.Error(err)
			}
			_ = s.Close()
			srv.Close() // all that was under way has been seen
			var parts []string
			for _, body := range bodies {
				var in struct {
					Record struct{ Data []byte }
					Item   struct{ Lines struct{ S string } }
				}
				if err := json.Unmarshal(body, &in); err != nil {
					t.Fatal(err)
				}
				if part := string(in.Record.Data) + in.Item.Lines.S; len(parts) == 0 || parts[len(parts)-1] != part { // not again
					parts = append(parts, part)
				}
			}
			if strings.Join(parts, "") != batch {
				t.Error("the parts are not the batch")
			}
			for i, part := range parts {
				if len(part) > tt.most || i+1 < len(parts) && len(part) < tt.most-2048 || !strings.HasSuffix(part, "\n") {
					t.Errorf("part %d of %d has %d bytes, want whole lines of up to %d", i+1, len(parts), len(part), tt.most)
				}
			}
		})
	}
}

// The policies of the page name the action that each sink calls and no other, and with that of Firehose it works.
func TestLeastPrivilege(t *testing.T) {
	page, err := os.ReadFile("../../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	policies := awsemu.DocumentedPolicies(t, string(page))
	emu, url := awsemu.Start(t)
	emu.PutStream(awsemu.Region, name)
	emu.Attach(awsemu.AccessKey, policies["audit-firehose"]...)
	s, err := awssink.NewFirehose(config(url))
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(t, s)
	if err := appended(l); err != nil {
		t.Error(err)
	}
	closeLog(t, l)

	var mu sync.Mutex
	called := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		called[strings.Replace(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.", "dynamodb:", 1)] = true
		_, _ = w.Write([]byte("{}"))
	}))
	defer srv.Close()
	table, err := awssink.NewDynamoDB(config(srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	l = newLog(t, table)
	if err := appended(l); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
	for _, c := range emu.Calls() {
		called[c.Action] = true
	}
	allowed := map[string]bool{}
	for _, name := range []string{"audit-firehose", "audit-dynamodb"} {
		for _, s := range policies[name] {
			for _, action := range s.Action {
				allowed[action] = true
			}
		}
	}
	if !maps.Equal(called, allowed) || len(allowed) != 2 {
		t.Errorf("called %v, allowed %v", called, allowed)
	}
}

// What is sent and answered has the shape that AWS publishes.
func TestModels(t *testing.T) {
	emu, url := awsemu.Start(t)
	emu.PutStream(awsemu.Region, name)
	s, err := awssink.NewFirehose(config(url))
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(t, s)
	closeLog(t, l)
	awsemu.CheckModels(t, emu)
}
