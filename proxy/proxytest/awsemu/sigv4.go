package awsemu

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const skew = 5 * time.Minute

// identity is who signed a request, and for where.
type identity struct{ principal, region string }

// verifyLocked checks a signature as AWS does (Signature Version 4, section "Authenticating requests").
func (s *Server) verifyLocked(r *http.Request, body []byte, service string) (identity, *failure) {
	header := r.Header.Get("Authorization")
	params, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return identity{}, &failure{http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token"}
	}
	part := map[string]string{}
	for p := range strings.SplitSeq(params, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		part[name] = value
	}
	scope := strings.Split(part["Credential"], "/")
	signed := strings.Split(part["SignedHeaders"], ";")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || len(scope) != 5 || len(part) != 3 || !slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-date") {
		return identity{}, &failure{http.StatusBadRequest, "IncompleteSignatureException", "incomplete"}
	}
	if r.Header.Get("X-Amz-Target") != "" && !slices.Contains(signed, "x-amz-target") {
		return identity{}, invalidSignature(service, "'X-Amz-Target' must be a 'SignedHeader'")
	}
	creds, principal, fail := s.credentialsLocked(scope[0], r.Header.Get("X-Amz-Security-Token"), service)
	if fail != nil {
		return identity{}, fail
	}
	if scope[1] != at.Format("20060102") || scope[3] != service || scope[4] != "aws4_request" {
		return identity{}, invalidSignature(service, "Credential should be scoped to a valid region and correct service.")
	}
	if s.only != "" && scope[2] != s.only {
		return identity{}, invalidSignature(service, "Credential should be scoped to a valid region, not '"+scope[2]+"'. ")
	}
	switch age := s.nowLocked().Sub(at); {
	case age > skew:
		return identity{}, invalidSignature(service, "Signature expired: "+at.Format("20060102T150405Z")+" is now earlier than the current time")
	case age < -skew:
		return identity{}, invalidSignature(service, "Signature not yet current: "+at.Format("20060102T150405Z")+" is still later than the current time")
	}
	if again, err := sign(r, body, creds, scope[3], scope[2], at, signed); err != nil || again != header {
		return identity{}, invalidSignature(service, "The request signature we calculated does not match the signature you provided.")
	}
	return identity{principal, scope[2]}, nil
}

func invalidSignature(service, message string) *failure {
	if service == "sts" {
		return &failure{http.StatusForbidden, "SignatureDoesNotMatch", message}
	}
	return &failure{http.StatusBadRequest, "InvalidSignatureException", message}
}

// sign makes the request as it was signed, and signs it.
func sign(r *http.Request, body []byte, creds aws.Credentials, service, region string, at time.Time, signed []string) (string, error) {
	again, err := http.NewRequestWithContext(context.Background(), r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	again.ContentLength = 0 // signed only where it is named
	for _, name := range signed {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = int64(len(body))
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(again.Context(), creds, again, hex.EncodeToString(sum[:]), service, region, at)
	return again.Header.Get("Authorization"), err
}

// credentialsLocked finds the keys that belong to an access key.
func (s *Server) credentialsLocked(accessKey, token, service string) (aws.Credentials, string, *failure) {
	unknown := &failure{http.StatusBadRequest, "UnrecognizedClientException", "The security token included in the request is invalid."}
	expired := &failure{http.StatusBadRequest, "ExpiredTokenException", "The security token included in the request is expired"}
	if service == "sts" {
		unknown = &failure{http.StatusForbidden, "InvalidClientTokenId", unknown.message}
		expired = &failure{http.StatusForbidden, "ExpiredToken", expired.message}
	}
	if accessKey == AccessKey && token == "" {
		return aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}, AccessKey, nil
	}
	i, ok := s.sessions[accessKey]
	switch {
	case !ok || i.creds.SessionToken != token:
		return aws.Credentials{}, "", unknown
	case !s.nowLocked().Before(i.creds.Expires):
		return aws.Credentials{}, "", expired
	}
	return i.creds, i.role, nil
}
