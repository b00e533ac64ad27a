// Package runtimeapi does what aws-lambda-go has no word for, or only a slow one. A function that cannot start says why:
// Lambda then tells whoever deployed it, instead of that the process ended. And a function hears of its end.
package runtimeapi

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"time"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
)

// patience bounds a call that has nobody to answer where this runs outside of Lambda.
const patience = 5 * time.Second

// InitError tells the Runtime API (2018-06-01, "Initialization error") why the function does not start. It does nothing
// outside of Lambda; where it fails, the log has the reason.
func InitError(reason error) {
	api := os.Getenv("AWS_LAMBDA_RUNTIME_API")
	if api == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	body := jsontext.AppendString([]byte(`{"errorType":"Keyhole.Configuration","errorMessage":`), reason.Error())
	body = append(body, `,"stackTrace":[]}`...)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+api+"/2018-06-01/runtime/init/error", bytes.NewReader(body))
	if err != nil {
		return
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Lambda-Runtime-Function-Error-Type", "Keyhole.Configuration")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err == nil {
		_ = resp.Body.Close()
	}
}
