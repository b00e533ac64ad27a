package lambdaemu_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

// half says when this program, which then is a function, leaves its answer half said: "at once", or "at the end".
const half = "LAMBDAEMU_HALF"

func TestMain(m *testing.M) {
	if when := os.Getenv(half); when != "" {
		if err := function(when); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// function takes one event, and goes on when its answer was left half said until it is killed.
func function(when string) error {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	api := os.Getenv("AWS_LAMBDA_RUNTIME_API")
	ctx := context.Background()
	register, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+api+"/2020-01-01/extension/register", strings.NewReader(`{}`))
	if err != nil {
		return err
	}
	register.Header.Set("Lambda-Extension-Name", "inside")
	next, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+api+"/2018-06-01/runtime/invocation/next", nil)
	if err != nil {
		return err
	}
	var resp *http.Response
	for _, r := range []*http.Request{register, next} {
		if resp, err = http.DefaultClient.Do(r); err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", api)
	if err != nil {
		return err
	}
	id := resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
	if _, err := io.WriteString(conn, "POST /2018-06-01/runtime/invocation/"+id+"/response HTTP/1.1\r\nHost: "+api+"\r\nContent-Length: 9\r\n\r\nhalf"); err != nil {
		return err
	}
	fmt.Println("said half")
	if when == "at the end" {
		<-told
	}
	_ = conn.Close()
	select {}
}

func start(t *testing.T, when string) *lambdaemu.Environment {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e, err := lambdaemu.Start(lambdaemu.Config{Command: self, Env: []string{half + "=" + when}, Timeout: proxytest.Patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Kill)
	return e
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(proxytest.Patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// An answer that breaks off is a fault of the function, unless it was told to end meanwhile: whether it has ended by the
// time that the break is seen is nothing that it can choose.
func TestAnswersThatBreakOff(t *testing.T) {
	for when, faults := range map[string]int{"at once": 1, "at the end": 0} {
		t.Run(when, func(t *testing.T) {
			e := start(t, when)
			answered := make(chan error)
			go func() {
				_, err := e.Invoke(t.Context(), []byte(`{}`))
				answered <- err
			}()
			eventually(t, "the function does not answer", func() bool { return e.Stdout() != "" })
			eventually(t, "the answer that broke off was not seen", func() bool { return len(e.Refused()) == faults })
			e.Shutdown()
			if err := <-answered; !errors.Is(err, lambdaemu.ErrExited) {
				t.Errorf("got %v", err)
			}
			if got := e.Refused(); len(got) != faults {
				t.Errorf("got %q, want %d faults", got, faults)
			}
		})
	}
}
