package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

// An environment that is killed because an invocation took too long loses no record of what it answered, and the next one
// goes on where it ended.
func TestTimeoutLosesNothing(t *testing.T) {
	f := newFrozen(t, lambdaemu.Config{Timeout: 2 * time.Second})
	f.token = f.fresh(t)
	all := []answered{f.secret(t, "web/DB"), f.secret(t, "web/NONE"), f.secret(t, "nowhere/X")}
	asked := make(chan struct{})
	f.aws.Interpose(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		close(asked)
		<-r.Context().Done()
		return true
	})
	go func() {
		<-asked
		_ = f.Freeze() // so that it cannot end the request by itself, shortly before
	}()
	if out, err := f.Invoke(t.Context(), f.get("/v1/secrets/shared/KEY")); !errors.Is(err, lambdaemu.ErrTimeout) {
		t.Fatalf("got %s, %v", out, err)
	}
	f.aws.Interpose(nil)
	f.Environment = f.ready(t, lambdaemu.Config{})
	all = append(all, f.secret(t, "shared/KEY"))
	if !all[0].is(200, "first") || !all[1].is(404, "") || !all[3].is(200, "of all") {
		t.Errorf("got %+v", all)
	}
	f.sealed(t, all, 1)
}

// Crashes under load lose no record of what was answered.
func TestCrashesLoseNothing(t *testing.T) {
	f := newFunction(t)
	const rounds, callers = 5, 8
	var all []answered
	for range rounds {
		e := f.ready(t, lambdaemu.Config{Concurrency: callers})
		var (
			wg     sync.WaitGroup
			mu     sync.Mutex
			enough = make(chan struct{})
			n      int
		)
		for caller := range callers {
			path := []string{"web/DB", "shared/KEY", "web/NONE", "nowhere/X"}[caller%4]
			wg.Go(func() {
				for {
					out, err := e.Invoke(t.Context(), f.get("/v1/secrets/"+path))
					if err != nil {
						return // killed
					}
					var a answered
					if err := json.Unmarshal(out, &a); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					all = append(all, a)
					if n++; n == 40 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		select {
		case <-enough:
		case <-time.After(proxytest.Patience):
			t.Error("the function answers too little")
		}
		e.Kill()
		wg.Wait()
	}
	e := f.ready(t, lambdaemu.Config{})
	f.read(t, e, "web/DB", "first", "miss")
	if code := e.Shutdown(); code != 0 {
		t.Errorf("exit code %d: SIGTERM did not end it within its time", code)
	}
	if len(all) < rounds*40 {
		t.Errorf("%d answers", len(all))
	}
	f.recorded(t, all, rounds)
}

// What an upstream said before the process was frozen is not what it says now.
func TestThawInTheMiddleOfARead(t *testing.T) {
	f := newFrozen(t, lambdaemu.Config{Timeout: proxytest.Patience})
	f.token = f.fresh(t)
	asked, thawed := make(chan struct{}), make(chan struct{})
	f.aws.Interpose(func(w http.ResponseWriter, r *http.Request, _ string) bool {
		f.aws.Interpose(nil)
		early := httptest.NewRecorder()
		f.aws.ServeHTTP(early, r)
		close(asked)
		<-thawed
		for name, values := range early.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(early.Code)
		_, _ = w.Write(early.Body.Bytes())
		return true
	})
	out := make(chan []byte)
	event := f.get("/v1/secrets/web/DB")
	go func() {
		text, err := f.Invoke(t.Context(), event)
		if err != nil {
			t.Error(err)
		}
		out <- text
	}()
	<-asked
	f.freeze(t, 4*time.Minute, func() {
		value := "second"
		f.aws.PutSecret(awsemu.Region, "apps/web/DB", &value, nil)
	})
	close(thawed)
	var a answered
	if err := json.Unmarshal(<-out, &a); err != nil {
		t.Fatal(err)
	}
	if a.is(200, `"first"`) {
		t.Errorf("got %+v", a)
	}
	if again := f.secret(t, "web/DB"); !again.is(200, `"value":"second"`) {
		t.Errorf("got %+v", again)
	}
	f.sealed(t, []answered{a}, 0)
}

// An end that comes while the vault is silent comes in time, and seals the log.
func TestShutdownInTheMiddleOfARequest(t *testing.T) {
	f := newFrozen(t, lambdaemu.Config{Timeout: proxytest.Patience})
	f.token = f.fresh(t)
	all := []answered{f.secret(t, "web/DB")}
	asked := make(chan struct{})
	f.aws.Interpose(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		close(asked)
		<-r.Context().Done()
		return true
	})
	done := make(chan struct{})
	event := f.get("/v1/secrets/shared/KEY")
	go func() {
		defer close(done)
		_, _ = f.Invoke(t.Context(), event)
	}()
	<-asked
	f.sealed(t, all, 0)
	<-done
}
