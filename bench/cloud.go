package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// cloud answers as Secrets Manager does, for every name, and looks at no signature: it is there to be read from once.
type cloud struct {
	url  string
	srv  *http.Server
	done chan struct{}
}

func startCloud() (*cloud, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &cloud{url: "http://" + ln.Addr().String(), done: make(chan struct{})}
	c.srv = &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(answerSecrets)}
	go func() {
		defer close(c.done)
		_ = c.srv.Serve(ln)
	}()
	return c, nil
}

func (c *cloud) close() {
	_ = c.srv.Close()
	<-c.done
}

func answerSecrets(w http.ResponseWriter, r *http.Request) {
	var in struct {
		SecretID     string   `json:"SecretId"`
		SecretIDList []string `json:"SecretIdList"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	one := func(name string) string {
		return fmt.Sprintf(`{"Name":%q,"VersionId":"00000000-0000-4000-8000-000000000001","SecretString":%q,"CreatedDate":1700000000}`, name, strings.Repeat("s", valueBytes))
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if in.SecretIDList == nil {
		_, _ = io.WriteString(w, one(in.SecretID))
		return
	}
	list := make([]string, len(in.SecretIDList))
	for i, name := range in.SecretIDList {
		list[i] = one(name)
	}
	_, _ = io.WriteString(w, `{"SecretValues":[`+strings.Join(list, ",")+`]}`)
}
