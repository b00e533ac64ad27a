package runtimeapi_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/keyhole-edge/keyhole/functions/internal/runtimeapi"
)

// api answers register with this status, and tells which calls there were.
func api(t *testing.T, status int) chan string {
	t.Helper()
	calls := make(chan string, 4)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls <- fmt.Sprint(r.Method, " ", r.URL.Path, " ", r.Header.Get("Lambda-Extension-Name"), r.Header.Get("Lambda-Extension-Identifier"), " ", string(body))
		w.Header().Set("Lambda-Extension-Identifier", "the-id")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"functionName":"f"}`)
	}))
	t.Cleanup(s.Close)
	t.Setenv("AWS_LAMBDA_RUNTIME_API", strings.TrimPrefix(s.URL, "http://"))
	return calls
}

func TestEndingIsTold(t *testing.T) {
	calls := api(t, http.StatusOK)
	var log bytes.Buffer
	ended := make(chan struct{})
	runtimeapi.AwaitEnding().Then(func() { close(ended) }, slog.New(slog.NewTextHandler(&log, nil)))
	if got, want := <-calls, `POST /2020-01-01/extension/register keyhole-runtime {"events":[]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := <-calls, `GET /2020-01-01/extension/event/next the-id `; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if log.Len() > 0 {
		t.Errorf("the log has %s", &log)
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ended
}

func TestEndingThatIsNotToldIsLogged(t *testing.T) {
	var log bytes.Buffer
	then := func() { runtimeapi.AwaitEnding().Then(func() {}, slog.New(slog.NewTextHandler(&log, nil))) }
	api(t, http.StatusForbidden)
	then()
	if !strings.Contains(log.String(), "without a word") || !strings.Contains(log.String(), "403") {
		t.Errorf("refused: the log has %s", &log)
	}
	log.Reset()
	t.Setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
	then()
	if !strings.Contains(log.String(), "without a word") {
		t.Errorf("nobody there: the log has %s", &log)
	}
	log.Reset()
	t.Setenv("AWS_LAMBDA_RUNTIME_API", "")
	then()
	if log.Len() > 0 {
		t.Errorf("outside of Lambda: the log has %s", &log)
	}
}
