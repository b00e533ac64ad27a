package proxytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Target is something that speaks a dialect: a handler in process, a server, a function behind an event converter.
type Target struct {
	URL       string            // scheme and authority, without a trailing slash
	Transport http.RoundTripper // nil: a plain client without redirects
	// Token mints a token from the words key=value of a script's "@ token" line.
	Token func(t testing.TB, spec map[string]string) string
	// Native is where "@ put" lines go; nil: the target itself.
	Native *Target
}

// put writes a secret through the native API.
func (target Target) put(t testing.TB, path, body string) error {
	t.Helper()
	if target.Native != nil {
		target = *target.Native
	}
	token := target.Token(t, map[string]string{"scope": "write:" + path})
	write := step{
		method: http.MethodPut, target: "/v1/secrets/" + path, body: body, hasBody: true,
		headers: [][2]string{{"Authorization", "Bearer " + token}},
	}
	resp, _, err := write.send(&http.Client{Transport: target.Transport}, target, nil)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("writing %s: status %d", path, resp.StatusCode)
	}
	return err
}

// RunScripts replays every file that matches the glob against a fresh target each, as subtests.
func RunScripts(t *testing.T, glob string, open func(t *testing.T) Target) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts match %s (%v)", glob, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := parseScript(t, file)
			s.run(t, open(t))
		})
	}
}

func (s script) run(t *testing.T, target Target) {
	t.Helper()
	vars := map[string]string{}
	client := &http.Client{
		Transport:     target.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, st := range s.steps {
		var err error
		if st.directive != nil {
			err = st.direct(t, target, vars)
		} else {
			err = st.exchange(client, target, vars)
		}
		if err != nil {
			t.Errorf("%s:%d: %v", s.name, st.line, err)
			if st.directive != nil {
				return
			}
		}
	}
}

func (st step) direct(t testing.TB, target Target, vars map[string]string) error {
	w := st.directive
	switch {
	case len(w) >= 2 && w[0] == "token":
		spec := map[string]string{}
		for _, kv := range w[2:] {
			k, v, ok := strings.Cut(kv, "=")
			if !ok {
				return fmt.Errorf("want key=value, got %q", kv)
			}
			if old, ok := spec[k]; ok {
				v = old + " " + v
			}
			spec[k] = v
		}
		vars[w[1]] = target.Token(t, spec)
		return nil
	case len(w) == 3 && w[0] == "put":
		return target.put(t, w[1], w[2])
	case len(w) == 4 && w[0] == "repeat":
		n, err := strconv.Atoi(w[3])
		if err != nil {
			return err
		}
		vars[w[1]] = strings.Repeat(w[2], n)
		return nil
	}
	return fmt.Errorf("unknown directive %v", w)
}

func (st step) exchange(client *http.Client, target Target, vars map[string]string) error {
	resp, got, err := st.send(client, target, vars)
	if err != nil {
		return err
	}
	return st.compare(resp, got, vars)
}

// send sends the request, and returns the answer with its whole body.
func (st step) send(client *http.Client, target Target, vars map[string]string) (*http.Response, []byte, error) {
	uri, err := expand(vars, st.target)
	if err != nil {
		return nil, nil, err
	}
	text, err := expand(vars, st.body)
	if err != nil {
		return nil, nil, err
	}
	var body io.Reader
	if st.hasBody {
		body = strings.NewReader(text)
	}
	req, err := http.NewRequest(st.method, target.URL+uri, body)
	if err != nil {
		return nil, nil, err
	}
	for _, h := range st.headers {
		v, err := expand(vars, h[1])
		if err != nil {
			return nil, nil, err
		}
		if http.CanonicalHeaderKey(h[0]) == "Host" {
			req.Host = v
			continue
		}
		req.Header.Add(h[0], v)
	}
	if st.hasBody && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	return resp, got, err
}

func (st step) compare(resp *http.Response, got []byte, vars map[string]string) error {
	if strconv.Itoa(resp.StatusCode) != st.status {
		return fmt.Errorf("status: got %d, want %s; body %.400q", resp.StatusCode, st.status, got)
	}
	for _, h := range st.want {
		want, err := expand(vars, h[1])
		if err != nil {
			return err
		}
		value, present := resp.Header.Get(h[0]), len(resp.Header.Values(h[0])) > 0
		name, keep := capture(want)
		switch {
		case keep && present:
			vars[name] = value
		case want == "*" && present, want == "-" && !present, present && value == want:
		default:
			return fmt.Errorf("header %s: got %q (present: %t), want %q", h[0], value, present, want)
		}
	}
	if st.wantText != "" && string(got) != st.wantText {
		return fmt.Errorf("body: got %.400q, want %q", got, st.wantText)
	}
	switch {
	case st.wantEmpty && len(got) > 0:
		return fmt.Errorf("body: got %.400q, want none", got)
	case st.wantBody == "":
		return nil
	}
	return matchBody(st.wantBody, got, vars)
}

func matchBody(template string, got []byte, vars map[string]string) error {
	template, err := expand(vars, template)
	if err != nil {
		return err
	}
	want, err := decode([]byte(template))
	if err != nil {
		return fmt.Errorf("template: %w", err)
	}
	have, err := decode(got)
	if err != nil {
		return fmt.Errorf("body %.400q: %w", got, err)
	}
	if err := match("$", want, have, vars); err != nil {
		return fmt.Errorf("%w; body %.800s", err, got)
	}
	return nil
}

func decode(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}
