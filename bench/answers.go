package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
)

var errDifferent = errors.New("the baseline does not answer what the server answers")

// warmAnswer reads until the answer comes from the cache, which is the second time.
func warmAnswer(ctx context.Context, t load.Target) (a answer, err error) {
	for range 2 {
		if a, err = fetch(ctx, t); err != nil {
			return a, err
		}
	}
	if got := a.Header.Get("X-Keyhole-Cache"); got != "hit" {
		return a, fmt.Errorf("the second read is a %q, not a hit", got)
	}
	return a, nil
}

// fetch asks once. Any status but 200 is an error.
func fetch(ctx context.Context, t load.Target) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, nil)
	if err != nil {
		return a, err
	}
	for _, h := range t.Headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: false, DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	a.Header = resp.Header.Clone()
	a.Header.Del("Date")
	a.Body, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", t.URL, resp.Status, a.Body)
	}
	return a, err
}

// sameAnswers asks both: all must be equal but the decision's name and the age.
func sameAnswers(ctx context.Context, subject, baseline load.Target) error {
	s, err := fetch(ctx, subject)
	if err != nil {
		return err
	}
	b, err := fetch(ctx, baseline)
	if err != nil {
		return err
	}
	s, b = s.steady(), b.steady()
	if !maps.EqualFunc(s.Header, b.Header, slices.Equal[[]string]) {
		return fmt.Errorf("%w: headers %v and %v", errDifferent, s.Header, b.Header)
	}
	if !bytes.Equal(s.Body, b.Body) {
		return fmt.Errorf("%w: bodies %s and %s", errDifferent, s.Body, b.Body)
	}
	return nil
}

// steady puts fixed texts in the place of what changes from answer to answer. A ULID keeps its length; the age does not.
func (a answer) steady() answer {
	out := answer{Header: a.Header.Clone()}
	out.Header.Del("Age")
	out.Header.Del("Content-Length") // it follows the digits of the age
	id := out.Header.Get("X-Keyhole-Decision")
	fixed := strings.Repeat("0", len(id))
	out.Header.Set("X-Keyhole-Decision", fixed)
	out.Body = bytes.ReplaceAll(a.Body, []byte(id), []byte(fixed))
	out.Body = regexp.MustCompile(`"age_ms":[0-9]+`).ReplaceAll(out.Body, []byte(`"age_ms":0`))
	return out
}
