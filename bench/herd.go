package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
	"github.com/keyhole-edge/keyhole/bench/internal/report"
)

// The herd comes in batches, all of it within about a second: policies are asked by a bounded number at a time, and who
// waits too long for them is sent away before it could be a miss.
const (
	herdSize  = 10_000
	herdBatch = 200
	herdPause = 20 * time.Millisecond
)

// gate stands before OpenBao, counts the reads of secrets, and holds them until it is opened.
type gate struct {
	url   string
	srv   *http.Server
	done  chan struct{}
	calls atomic.Int64
	open  chan struct{}
}

func openGate(target string) (*gate, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{url: "http://" + ln.Addr().String(), done: make(chan struct{}), open: make(chan struct{})}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	g.srv = &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/secret/") {
			g.calls.Add(1)
			select {
			case <-g.open:
			case <-r.Context().Done():
			}
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() {
		defer close(g.done)
		_ = g.srv.Serve(ln)
	}()
	return g, nil
}

func (g *gate) close() {
	_ = g.srv.Close()
	<-g.done
}

// herd asks for one secret that is not cached on ten thousand connections at once, and counts what comes to OpenBao. The
// answer of OpenBao is held until all have asked.
func (u *upstreamBench) herd(ctx context.Context, r *report.Report, g *gate) error {
	if err := u.vault.put(ctx, "bench/wanted"); err != nil {
		return err
	}
	if err := u.log.skip(); err != nil {
		return err
	}
	target := u.target("herd/wanted")
	where, err := url.Parse(target.URL)
	if err != nil {
		return err
	}
	conns := make([]net.Conn, herdSize)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	for i := range conns {
		if conns[i], err = (&net.Dialer{}).DialContext(ctx, "tcp", where.Host); err != nil {
			return fmt.Errorf("connection %d of the herd: %w", i, err)
		}
		_ = conns[i].SetDeadline(time.Now().Add(patience))
	}
	request := []byte("GET " + where.RequestURI() + " HTTP/1.1\r\nHost: " + where.Host + "\r\n" + target.Headers[0] + "\r\n\r\n")
	for i, c := range conns {
		if _, err := c.Write(request); err != nil {
			return err
		}
		if i%herdBatch == 0 {
			time.Sleep(herdPause)
		}
	}
	time.Sleep(10 * herdPause) // for the server to read what was written last
	close(g.open)
	var wg sync.WaitGroup
	var bad atomic.Int64
	var why atomic.Value // of one that was not answered
	for _, c := range conns {
		wg.Go(func() {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				bad.Add(1)
				why.Store(err.Error())
				return
			}
			defer func() { _ = resp.Body.Close() }()
			if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
				bad.Add(1)
				why.Store(resp.Status + ": " + string(body))
			}
		})
	}
	wg.Wait()
	records, err := u.log.next()
	if err != nil {
		return err
	}
	if bad.Load() > 0 || records.access != herdSize {
		return fmt.Errorf("of %d requests %d were not answered with 200 (%v), and %d were recorded", herdSize, bad.Load(), why.Load(), records.access)
	}
	res := report.New("herd_10000_upstream_calls", float64(g.calls.Load()), "calls", report.ValueAtMost(1))
	res.Notes = []string{fmt.Sprintf("%d connections asked before OpenBao's answer was let through; %d of them were served after it had come, from the cache", herdSize, records.hits)}
	return r.Add(res)
}

// get asks once over the client's connection. Any status but 200 is an error.
func get(ctx context.Context, client *http.Client, t load.Target) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, nil)
	if err != nil {
		return nil, err
	}
	name, value, _ := strings.Cut(t.Headers[0], ": ")
	req.Header.Set(name, value)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(t.URL + " answers " + resp.Status)
	}
	return resp.Header, nil
}
