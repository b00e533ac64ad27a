package runtimeapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Ending tells when Lambda ends the environment.
type Ending struct {
	told       chan os.Signal
	registered chan error
}

// AwaitEnding asks for SIGTERM before the environment ends, which Lambda sends to a function only if there is an
// extension: one inside this process, which wants no events, will do. The asking goes on while everything else starts;
// aws-lambda-go would do it after that.
func AwaitEnding() *Ending {
	e := &Ending{make(chan os.Signal, 1), make(chan error, 1)}
	go func() {
		signal.Notify(e.told, syscall.SIGTERM) // it starts threads, and Lambda sends none before this is registered
		e.registered <- register(os.Getenv("AWS_LAMBDA_RUNTIME_API"))
	}()
	return e
}

// Then has f run at SIGTERM. It returns when Lambda knows of the extension, since it takes none once an event has been
// asked for. Where Lambda refuses, f does not run at its hand, and the log says so.
func (e *Ending) Then(f func(), log *slog.Logger) {
	go func() {
		<-e.told
		f()
	}()
	if err := <-e.registered; err != nil {
		log.Warn("Lambda will end this function without a word", "error", err.Error())
	}
}

// register makes this process an extension (Extensions API, 2020-01-01) and asks for its next event, which says that it
// has started; none ever comes. The two requests go over a connection by hand: another client of net/http is a
// millisecond of a small function's processor.
func register(api string) error {
	if api == "" {
		return nil // outside of Lambda
	}
	conn, err := net.DialTimeout("tcp", api, patience)
	if err != nil {
		return fmt.Errorf("registering for SIGTERM: %w", err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience)) // on an open connection it cannot fail
	answer, err := ask(conn, "POST /2020-01-01/extension/register", api, "Lambda-Extension-Name: keyhole-runtime", `{"events":[]}`)
	if err != nil {
		return errors.Join(fmt.Errorf("registering for SIGTERM: %w", err), conn.Close())
	}
	_ = conn.SetDeadline(time.Time{})
	go func() {
		defer func() { _ = conn.Close() }()
		_, _ = ask(conn, "GET /2020-01-01/extension/event/next", api, "Lambda-Extension-Identifier: "+answer.Get("Lambda-Extension-Identifier"), "")
	}()
	return nil
}

// ask makes one request (RFC 9112) with one header of its own. It returns the headers of the answer, which must be 200, and
// drops what that holds.
func ask(conn net.Conn, line, host, header, body string) (http.Header, error) {
	text := line + " HTTP/1.1\r\nHost: " + host + "\r\n" + header + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	if _, err := conn.Write([]byte(text)); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.Header, err
}
