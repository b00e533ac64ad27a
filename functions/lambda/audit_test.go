package main_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

const stream = "keyhole-audit"

// audited is a function whose records go elsewhere than to a file.
func audited(t *testing.T, durability, sink string) *function {
	t.Helper()
	f := newFunction(t)
	const file = `"sinks": [{"type": "file", "path": "audit/audit.jsonl", "required": true}]`
	text := strings.Replace(document, file, `"durability": "`+durability+`", "sinks": [`+sink+`]`, 1)
	if text == document {
		t.Fatal("the document has no such sink")
	}
	if err := os.WriteFile(filepath.Join(f.dir, "keyhole.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.aws.PutStream(awsemu.Region, stream)
	return f
}

const (
	toStdout   = `{"type": "stdout"}`
	toFirehose = `{"type": "firehose", "stream": "` + stream + `"}`
)

func (f *function) publicKey(t *testing.T) ed25519.PublicKey {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "keys", "audit.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := audit.ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// delivered is what the stream has taken.
func (f *function) delivered() string {
	return string(bytes.Join(f.aws.Delivered(awsemu.Region, stream), nil))
}

// verify wants lines that verify, and returns the ids of the records in the order in which they stand.
func (f *function) verify(t *testing.T, lines string) (report audit.Report, ids []string) {
	t.Helper()
	report, err := audit.VerifyCollected([]audit.Source{{Name: "lines", Reader: strings.NewReader(lines)}}, audit.VerifyOptions{PublicKey: f.publicKey(t)})
	if err != nil {
		t.Fatalf("%v\n%s", err, lines)
	}
	err = audit.Scan(strings.NewReader(lines), func(_ []byte, r *audit.Record) error {
		ids = append(ids, r.ID)
		return nil
	})
	if err != nil {
		t.Fatalf("among the records: %v", err)
	}
	return report, ids
}

// decision asks for a value and returns the id of the record that released it, "" where it was not released.
func (f *function) decision(ctx context.Context, e *lambdaemu.Environment) (string, error) {
	out, err := e.Invoke(ctx, f.get("/v1/secrets/web/DB"))
	if err != nil {
		return "", err
	}
	var a struct {
		StatusCode int
		Headers    map[string]string
	}
	if err := json.Unmarshal(out, &a); err != nil || a.StatusCode != http.StatusOK {
		return "", err
	}
	return a.Headers["X-Keyhole-Decision"], nil
}

// Standard output has records and nothing else; the log of the function has none.
func TestAuditOnStandardOutput(t *testing.T) {
	f := audited(t, "process", toStdout)
	e := f.ready(t, lambdaemu.Config{})
	const reads = 5
	for range reads {
		if id, err := f.decision(t.Context(), e); id == "" || err != nil {
			t.Fatalf("got %q, %v", id, err)
		}
		if err := e.Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := e.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := e.Invoke(t.Context(), []byte(`{"Records":[]}`)); err == nil { // which the function logs
		t.Errorf("got %s", out)
	}
	if code := e.Shutdown(); code != 0 {
		t.Errorf("exit code %d\n%s", code, e.Log())
	}
	report, _ := f.verify(t, e.Stdout())
	if report.Records != reads+2 || !report.Sealed || report.Foreign != 0 {
		t.Errorf("got %+v, want %d records, a birth and a seal", report, reads)
	}
	if strings.Count(e.Log(), `"prev_hash":`) != strings.Count(e.Stdout(), `"prev_hash":`) {
		t.Error("a record is in the log of the function")
	}
}

// A function that is killed has recorded all that it has answered: whatever the moment, with the service's own
// acknowledgement, and as far as the pipe goes on standard output too.
func TestKilledFunctionLosesNothing(t *testing.T) {
	for _, tt := range []struct {
		name, durability, sink string
		kills                  int
	}{{"firehose strict", "strict", toFirehose, 20}, {"stdout process", "process", toStdout, 5}} {
		t.Run(tt.name, func(t *testing.T) {
			f := audited(t, tt.durability, tt.sink)
			f.aws.Interpose(func(_ http.ResponseWriter, r *http.Request, action string) bool {
				if action != "firehose:PutRecord" {
					return false
				}
				select { // on the way: who is killed meanwhile is not heard
				case <-r.Context().Done():
					return true
				case <-time.After(3 * time.Millisecond):
					return false
				}
			})
			var mu sync.Mutex
			var answered []string
			var printed strings.Builder
			for range tt.kills {
				e := f.ready(t, lambdaemu.Config{Concurrency: 4})
				some := make(chan struct{}, 10) // as many answers
				var asking sync.WaitGroup
				for range 4 {
					asking.Go(func() {
						for {
							id, err := f.decision(context.Background(), e)
							if errors.Is(err, lambdaemu.ErrExited) {
								return
							}
							if err != nil || id == "" {
								t.Errorf("got %q, %v", id, err)
								return
							}
							mu.Lock()
							answered = append(answered, id)
							mu.Unlock()
							select {
							case some <- struct{}{}:
							default:
							}
						}
					})
				}
				for range rand.N(cap(some)) { // none, sometimes
					select {
					case <-some:
					case <-time.After(proxytest.Patience):
						t.Error("the function answers too little")
					}
				}
				time.Sleep(rand.N(5 * time.Millisecond)) // any moment will do
				e.Kill()
				asking.Wait()
				printed.WriteString(e.Stdout())
			}
			lines := printed.String() + f.delivered()
			report, ids := f.verify(t, lines)
			recorded := map[string]bool{}
			for _, id := range ids {
				recorded[id] = true
			}
			for _, id := range answered {
				if !recorded[id] {
					t.Errorf("%s was answered and is not recorded", id)
				}
			}
			t.Logf("%d answers, %d records of %d instances", len(answered), report.Records, report.Instances)
			if len(answered) == 0 {
				t.Error("nothing was answered in all of them")
			}
		})
	}
}

// The function is frozen while the service has its record: whether the answer is lost or not, the value leaves after it
// only, and nothing is missing or out of order.
func TestFrozenWhileRecording(t *testing.T) {
	for name, lost := range map[string]bool{"answered": false, "the answer is lost": true} {
		t.Run(name, func(t *testing.T) {
			f := audited(t, "strict", toFirehose)
			e := f.ready(t, lambdaemu.Config{})
			if id, err := f.decision(t.Context(), e); id == "" || err != nil {
				t.Fatalf("got %q, %v", id, err)
			}
			entered, thawed := make(chan struct{}), make(chan struct{})
			var once sync.Once
			f.aws.Interpose(func(w http.ResponseWriter, r *http.Request, action string) bool {
				if action != "firehose:PutRecord" {
					return false
				}
				first := false
				once.Do(func() { first = true })
				if !first {
					return false
				}
				close(entered)
				<-thawed
				if lost {
					f.aws.Interpose(nil)
					f.aws.ServeHTTP(httptest.NewRecorder(), r)
					panic(http.ErrAbortHandler)
				}
				return false
			})
			id := make(chan string, 1)
			go func() {
				got, _ := f.decision(context.Background(), e)
				id <- got
			}()
			<-entered
			if err := e.Freeze(); err != nil {
				t.Fatal(err)
			}
			close(thawed)
			if err := e.Thaw(); err != nil {
				t.Fatal(err)
			}
			got := <-id
			f.aws.Interpose(nil)
			if code := e.Shutdown(); code != 0 {
				t.Errorf("exit code %d\n%s", code, e.Log())
			}
			report, ids := f.verify(t, f.delivered())
			if report.Instances != 1 || !report.Sealed || report.Repeated > 0 != lost {
				t.Errorf("got %+v", report)
			}
			found := false
			for _, r := range ids {
				found = found || r == got
			}
			if got == "" || !found {
				t.Errorf("%q was answered, and the records are %q", got, ids)
			}
		})
	}
}

// No record, no value: and the function tells so within the invocation's time.
func TestStreamThatIsNotThere(t *testing.T) {
	f := audited(t, "strict", `{"type": "firehose", "stream": "another"}`)
	e := f.ready(t, lambdaemu.Config{})
	out, err := e.Invoke(t.Context(), f.get("/v1/secrets/web/DB"))
	if err != nil || !strings.Contains(string(out), `"statusCode":503`) || !strings.Contains(string(out), "audit_unavailable") {
		t.Errorf("got %s, %v", out, err)
	}
	if strings.Contains(string(out), "first") {
		t.Error("the value is in the answer")
	}
}

// A sink that does not answer does not keep an invocation past its time.
func TestStreamThatDoesNotAnswer(t *testing.T) {
	f := audited(t, "strict", toFirehose)
	e := f.ready(t, lambdaemu.Config{Timeout: 1500 * time.Millisecond, Slack: 2 * time.Second}) // the sink itself gives up after four
	gone, release := context.WithCancel(context.Background())
	t.Cleanup(release)
	f.aws.Interpose(func(_ http.ResponseWriter, r *http.Request, action string) bool {
		if action != "firehose:PutRecord" {
			return false
		}
		select {
		case <-gone.Done():
		case <-r.Context().Done():
		}
		return true
	})
	out, err := e.Invoke(t.Context(), f.get("/v1/secrets/web/DB"))
	if err != nil || !strings.Contains(string(out), `"statusCode":50`) || strings.Contains(string(out), "first") {
		t.Errorf("got %s, %v; want a refusal in time", out, err)
	}
	f.aws.Interpose(nil)
}
