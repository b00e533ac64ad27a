package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

// answer is a response, Date left out: net/http writes its own.
type answer struct {
	Header http.Header
	Body   []byte
}

// serveBare is the baseline: a handler of net/http that gives one answer, headers and body, to whoever asks, and does
// nothing else. It has none of the timeouts that the server sets, so it is the fastest that net/http can be. It reads
// the answer from in, prints where it listens, and ends when in or ctx does.
func serveBare(ctx context.Context, in io.Reader, out io.Writer) error {
	dec := json.NewDecoder(in)
	var a answer
	if err := dec.Decode(&a); err != nil {
		return fmt.Errorf("reading the answer to give: %w", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for name, values := range a.Header {
			h[name] = values
		}
		_, _ = w.Write(a.Body)
	})}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = srv.Close()
	}()
	if _, err := fmt.Fprintf(out, "http://%s\n", ln.Addr()); err != nil {
		return err
	}
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bareServer is serveBare in a child.
type bareServer struct {
	*child
	url string
}

func startBare(ctx context.Context, a answer) (*bareServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var out proxytest.Buffer
	c, err := startChild(ctx, nil, &out, self, "-bare")
	if err != nil {
		return nil, err
	}
	b := &bareServer{child: c}
	if err = json.NewEncoder(c.stdin).Encode(a); err == nil {
		err = c.await(func() bool {
			var whole bool
			b.url, whole = strings.CutSuffix(out.String(), "\n")
			return whole
		})
	}
	if err != nil {
		c.kill()
		return nil, err
	}
	return b, nil
}

// stop ends the child by closing its input.
func (b *bareServer) stop() error {
	_ = b.stdin.Close()
	<-b.done
	return b.err
}
