package lambdaemu_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/lambdaemu"
)

// Of these variables one makes this program a function.
const (
	half = "LAMBDAEMU_HALF" // that leaves its answer half said: "at once", or "at the end"
	gone = "LAMBDAEMU_GONE" // that ends, while another process keeps its connections until nobody has this named pipe open
	keep = "LAMBDAEMU_KEEP" // the other process
)

const waiting = 8 // connections on which the function that ends waits for an event

func TestMain(m *testing.M) {
	var err error
	switch {
	case os.Getenv(half) != "":
		err = function(os.Getenv(half))
	case os.Getenv(gone) != "":
		err = ends(os.Getenv(gone))
	case os.Getenv(keep) != "":
		_, err = io.Copy(io.Discard, os.Stdin)
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ends asks for events and does not live to see one.
func ends(pipe string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	keeper := exec.Command(self)
	keeper.Env = []string{keep + "=1"}
	if keeper.Stdin, err = os.Open(pipe); err != nil {
		return err
	}
	api := os.Getenv("AWS_LAMBDA_RUNTIME_API")
	for range waiting {
		conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", api)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(conn, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: "+api+"\r\n\r\n"); err != nil {
			return err
		}
		file, err := conn.(*net.TCPConn).File()
		if err != nil {
			return err
		}
		keeper.ExtraFiles = append(keeper.ExtraFiles, file)
	}
	return keeper.Start()
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

func start(t *testing.T, timeout time.Duration, env string) *lambdaemu.Environment {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e, err := lambdaemu.Start(lambdaemu.Config{Command: self, Env: []string{env}, Timeout: timeout})
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
			e := start(t, proxytest.Patience, half+"="+when)
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

// Nobody waits for the answer of a function that has ended, not even where its connections seem to be open.
func TestFunctionThatHasEnded(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(pipe, os.O_RDWR, 0) // for writing alone it would wait for who reads
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	e := start(t, 3*time.Second, gone+"="+pipe)
	for range waiting {
		if out, err := e.Invoke(t.Context(), []byte(`{}`)); !errors.Is(err, lambdaemu.ErrExited) {
			t.Errorf("got %s, %v", out, err)
		}
	}
}
