// Command lambda-go is a function that signs a message with a secret, which it reads over plain HTTP from the extension
// beside it, each time: it comes from the extension's cache, and a rotation is seen without a restart.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

// maxBytes bounds what is read of an answer.
const maxBytes = 1 << 20

type signer struct {
	client    http.Client
	extension string // "http://localhost:2773"
	token     string
	secret    string // its name
}

type event struct {
	Message string `json:"message"`
}

type answer struct {
	Signature string `json:"signature"`
	Version   string `json:"version"`
}

func main() {
	port := os.Getenv("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT")
	if port == "" {
		port = "2773"
	}
	s := &signer{
		extension: "http://localhost:" + port, token: os.Getenv("AWS_SESSION_TOKEN"), secret: os.Getenv("SIGNING_SECRET"),
	}
	lambda.Start(s.sign)
}

// sign answers with the signature, never with the secret.
func (s *signer) sign(ctx context.Context, in event) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.extension+"/secretsmanager/get?secretId="+url.QueryEscape(s.secret), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Aws-Parameters-Secrets-Token", s.token)
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.secret, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.secret, err)
	}
	if resp.StatusCode != http.StatusOK { // the body says why, and has no value in it
		return nil, fmt.Errorf("reading %s: %s %s", s.secret, resp.Status, body)
	}
	var out struct{ SecretString, VersionID string }
	if err := json.Unmarshal(body, &out); err != nil {
		return nil, fmt.Errorf("reading %s: an answer that is no JSON", s.secret)
	}
	mac := hmac.New(sha256.New, []byte(out.SecretString))
	mac.Write([]byte(in.Message))
	return &answer{Signature: hex.EncodeToString(mac.Sum(nil)), Version: out.VersionID}, nil
}
