package awsjson

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// maxSTS bounds an answer of STS, which holds four short texts.
const maxSTS = 64 << 10

// assumer is a Provider that assumes a role (AWS STS API Reference, AssumeRole). Sessions last for the hour that is the
// default, and the most where one role assumes another.
type assumer struct {
	role     Role
	from     *sessions
	wire     *wire.Wire
	signer   *v4.Signer
	region   string
	endpoint string
	wall     func() time.Time
	explain  explainer
}

// Retrieve fails with ErrLogin where the role cannot be assumed: a refusal is about the role, not about any secret.
func (a *assumer) Retrieve(ctx context.Context) (aws.Credentials, error) {
	form := url.Values{
		"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {a.role.ARN}, "RoleSessionName": {"keyhole"},
	}
	if a.role.ExternalID != "" {
		form.Set("ExternalId", a.role.ExternalID)
	}
	got, err := caller{a.wire, a.signer, a.wall}.exchange(ctx, a.from, exchange{
		url: a.endpoint, service: "sts", region: a.region, body: []byte(form.Encode()), most: maxSTS,
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}, "Accept": {"application/xml"}},
	}, a.explain)
	if err != nil {
		if errors.Is(err, secret.ErrDenied) {
			// Not the sentinel: what is denied here is the role.
			return aws.Credentials{}, fmt.Errorf("%w: the role %s may not be assumed; look at its trust policy and external id", ErrLogin, a.role.ARN)
		}
		if errors.Is(err, ErrLogin) || errors.Is(err, ErrClock) || errors.Is(err, ErrClosed) {
			return aws.Credentials{}, err
		}
		return aws.Credentials{}, fmt.Errorf("%w: assuming the role %s: %w", ErrLogin, a.role.ARN, err)
	}
	defer clear(got.Body)
	var r struct {
		Result struct {
			Credentials struct {
				AccessKeyID     string `xml:"AccessKeyId"`
				SecretAccessKey string
				SessionToken    string
				Expiration      time.Time
			}
		} `xml:"AssumeRoleResult"`
	}
	if err := xml.Unmarshal(got.Body, &r); err != nil {
		return aws.Credentials{}, fmt.Errorf("%w: assuming the role %s: %w", ErrLogin, a.role.ARN, ErrMalformed)
	}
	c := r.Result.Credentials
	if c.AccessKeyID == "" || c.SecretAccessKey == "" || c.SessionToken == "" || c.Expiration.IsZero() {
		return aws.Credentials{}, fmt.Errorf("%w: assuming the role %s: %w", ErrLogin, a.role.ARN, ErrMalformed)
	}
	return aws.Credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		Source: "AssumeRole", CanExpire: true, Expires: c.Expiration,
	}, nil
}

func xmlError(a *wire.Answer) (code, message string) {
	var r struct {
		XMLName xml.Name `xml:"ErrorResponse"`
		Error   struct{ Code, Message string }
	}
	if xml.Unmarshal(a.Body, &r) != nil {
		return "", ""
	}
	return r.Error.Code, r.Error.Message
}
