package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/bench/internal/report"
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/edge"
	"github.com/keyhole-edge/keyhole/proxy/app/full"
	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// together is how many readers share the flushes of a sink.
const together = 16

// audits measures what acknowledging the record adds to a cached read, from the request to the answer without a network:
// against the same read whose record is encoded, chained and signed, and handed to a sink that keeps nothing. Firehose is
// a server on loopback that reads the record and answers at once: our side of the call. A real one adds its own time.
func audits(ctx context.Context, o options, r *report.Report) (err error) {
	dir, err := os.MkdirTemp("", "keyhole-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	firehose := httptest.NewServer(http.HandlerFunc(takeRecord))
	defer firehose.Close()
	baseline, err := auditedServer(ctx, filepath.Join(dir, "nothing"), "process", config.Sink{Type: "nothing"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, baseline.Close()) }()
	for _, row := range []struct {
		name, durability string
		sink             config.Sink
	}{
		{"audit_process_overhead", "process", config.Sink{Type: "file", File: &config.SinkFile{Path: "audit.jsonl", Rotate: 1 << 40, Keep: 1}}},
		{"audit_stdout_overhead", "process", config.Sink{Type: "stdout"}},
		{"audit_strict_overhead", "strict", config.Sink{Type: "file", File: &config.SinkFile{Path: "audit.jsonl", Rotate: 1 << 40, Keep: 1}}},
		{"audit_firehose_overhead", "strict", config.Sink{Type: "firehose", Firehose: &config.SinkFirehose{Stream: "bench", Region: "eu-west-1", Endpoint: firehose.URL}}},
	} {
		if err := auditRow(ctx, o, r, baseline, filepath.Join(dir, row.name), row.name, row.durability, row.sink); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	return nil
}

// auditRow measures one sink, with one reader and with several at the same time.
func auditRow(ctx context.Context, o options, r *report.Report, baseline *auditedReader, dir, name, durability string, sink config.Sink) (err error) {
	subject, err := auditedServer(ctx, dir, durability, sink)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, subject.Close()) }()
	for _, readers := range []int{1, together} {
		m, err := micro{subject.loop(readers), baseline.loop(readers)}.measure(ctx, o)
		if err != nil {
			return err
		}
		res := m.result(name, "ns/op", report.Budget{})
		if readers > 1 {
			res.Name = fmt.Sprintf("%s_%d", name, readers)
		}
		res.Against = fmt.Sprintf("the same read, %d at a time, with a sink that acknowledges at once and keeps nothing", readers)
		res.Notes = []string{fmt.Sprintf("%v allocs/op", m.allocs)}
		if err := r.Add(res); err != nil {
			return err
		}
	}
	return nil
}

// takeRecord is Firehose as far as the sink can tell, without looking at the signature or the record.
func takeRecord(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = io.WriteString(w, `{"Encrypted":false,"RecordId":"bench"}`)
}

// nothing is a sink that keeps nothing.
type nothing struct{}

func (nothing) Open() (audit.Tail, error) { return audit.Tail{}, nil }
func (nothing) Write([]byte) error        { return nil }
func (nothing) Reopen([]byte) error       { return nil }
func (nothing) Full() bool                { return false }
func (nothing) Close() error              { return nil }

// auditedReader reads one cached secret in process.
type auditedReader struct {
	app   *app.App
	token string
	done  func() error
}

// auditedServer is what "keyhole serve" runs, but for the listeners, with this sink. Standard output is a pipe whose reader
// drops what comes.
func auditedServer(ctx context.Context, dir, durability string, sink config.Sink) (_ *auditedReader, err error) {
	if err := devdir.Create(dir, "127.0.0.1:0"); err != nil {
		return nil, err
	}
	c, err := full.Drivers().Load(filepath.Join(dir, devdir.ConfigFile), nil)
	if err != nil {
		return nil, err
	}
	sink.Required = true
	c.Audit.Durability, c.Audit.Sinks = durability, []config.Sink{sink}
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.Discard, in) })
	done := func() error {
		err := out.Close()
		reading.Wait()
		return errors.Join(err, in.Close())
	}
	d := full.Drivers()
	d.Sinks["nothing"] = func(app.Env, config.Sink) (audit.Sink, error) { return nothing{}, nil }
	d.Sinks["stdout"] = func(app.Env, config.Sink) (audit.Sink, error) {
		return audit.NewStdoutSink(audit.StdoutConfig{Out: out}), nil
	}
	getenv := func(name string) string {
		if value, ok := map[string]string{"AWS_ACCESS_KEY_ID": "AKIDBENCH", "AWS_SECRET_ACCESS_KEY": "bench"}[name]; ok {
			return value
		}
		return os.Getenv(name)
	}
	d.Sinks["firehose"] = edge.Drivers().Sinks["firehose"] // who signs is what the environment says, as in a function
	a, err := app.New(ctx, c, d, app.Options{Getenv: getenv})
	if err != nil {
		return nil, errors.Join(err, done())
	}
	s := &auditedReader{app: a, done: done}
	if err := errors.Join(a.Start(ctx), s.seed(c)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// seed writes the secret and reads it once.
func (s *auditedReader) seed(c *config.Config) error {
	token := func(scope string) (string, error) {
		return app.Issue(c, os.Getenv, app.TokenRequest{Scope: scope, Subject: "bench", TTL: time.Hour})
	}
	write, err := token("write:" + benchPath)
	if err != nil {
		return err
	}
	if s.token, err = token("read:" + benchPath); err != nil {
		return err
	}
	body := `{"value":"` + strings.Repeat("s", valueBytes) + `","if_version":"0"}`
	if err := s.send(http.MethodPut, write, body, http.StatusCreated); err != nil {
		return err
	}
	return s.send(http.MethodGet, s.token, "", http.StatusOK)
}

func (s *auditedReader) send(method, token, body string, want int) error {
	req, err := http.NewRequest(method, "http://in-process.invalid/v1/secrets/"+benchPath, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.app.InProcess().RoundTrip(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s of the secret: %s", method, resp.Status)
	}
	return nil
}

// loop has so many readers share the reads.
func (s *auditedReader) loop(readers int) func(b *testing.B) error {
	return func(b *testing.B) error {
		b.ReportAllocs()
		if readers == 1 {
			for b.Loop() {
				if err := s.send(http.MethodGet, s.token, "", http.StatusOK); err != nil {
					return err
				}
			}
			return nil
		}
		var wg sync.WaitGroup
		failed := make([]error, readers)
		for i := range readers {
			share := b.N / readers
			if i < b.N%readers {
				share++
			}
			wg.Go(func() {
				for range share {
					if failed[i] = s.send(http.MethodGet, s.token, "", http.StatusOK); failed[i] != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		return errors.Join(failed...)
	}
}

// Close closes the server and what reads its standard output.
func (s *auditedReader) Close() error { return errors.Join(s.app.Close(), s.done()) }
