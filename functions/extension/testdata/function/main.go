// Command function is a Lambda function in the least that is one: an event is a request that it sends to the extension
// beside it, with the session token that both have, and its answer is what comes back.
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
)

type event struct {
	URL     string            // "": what came of START before the first event
	Headers map[string]string // ${NAME} in a value stands for a variable of the environment
}

type answer struct {
	Status  int
	Headers http.Header
	Body    string
}

func main() {
	started := start()
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		in, err := http.Get(api + "next")
		if err != nil {
			os.Exit(1)
		}
		body, err := io.ReadAll(in.Body)
		_ = in.Body.Close()
		if err != nil {
			os.Exit(1)
		}
		path := "/response"
		out, err := handle(body, started)
		if err != nil {
			path, out = "/error", []byte(`{"errorType":"Failed","errorMessage":"`+strings.ReplaceAll(err.Error(), `"`, "'")+`"}`)
		}
		resp, err := http.Post(api+in.Header.Get("Lambda-Runtime-Aws-Request-Id")+path, "application/json", bytes.NewReader(out))
		if err != nil {
			os.Exit(1)
		}
		_ = resp.Body.Close()
	}
}

// start sends what START says, as a function does that reads its secrets when it is loaded.
func start() []byte {
	out, err := send(event{URL: os.Getenv("START"), Headers: map[string]string{"X-Aws-Parameters-Secrets-Token": "${AWS_SESSION_TOKEN}"}})
	if err != nil {
		out, _ = json.Marshal(answer{Body: err.Error()})
	}
	return out
}

func handle(body, started []byte) ([]byte, error) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	if e.URL == "" {
		return started, nil
	}
	return send(e)
}

func send(e event) ([]byte, error) {
	r, err := http.NewRequest(http.MethodGet, e.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	for name, value := range e.Headers {
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, os.ExpandEnv(value))
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(answer{resp.StatusCode, resp.Header, string(text)})
}
