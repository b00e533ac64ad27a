package app

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// InProcess sends requests to the native API without a network: the whole decision path, as for every other caller.
func (a *App) InProcess() http.RoundTripper { return roundTripper{a.Native} }

// AdminInProcess is InProcess for the admin listener.
func (a *App) AdminInProcess() http.RoundTripper { return roundTripper{a.admin()} }

// AWSInProcess is InProcess for the AWS dialect.
func (a *App) AWSInProcess() http.RoundTripper { return roundTripper{a.AWS} }

type roundTripper struct{ h http.Handler }

// RoundTrip implements http.RoundTripper.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RemoteAddr = "127.0.0.1:0"
	in.RequestURI = r.URL.RequestURI()
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	defer func() { _ = in.Body.Close() }()
	w := &response{header: http.Header{}}
	t.h.ServeHTTP(w, in)
	w.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

type response struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
