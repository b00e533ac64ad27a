package awsjson

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// assumer is a Provider that assumes a role (AWS STS API Reference, AssumeRole). Sessions last for the hour that is the
// default, and the most where one role assumes another.
type assumer struct {
	role Role
	sts
}

// Retrieve fails with ErrLogin where the role cannot be assumed: a refusal is about the role, not about any secret.
func (a *assumer) Retrieve(ctx context.Context) (aws.Credentials, error) {
	form := url.Values{"Action": {"AssumeRole"}, "RoleArn": {a.role.ARN}, "RoleSessionName": {"keyhole"}}
	if a.role.ExternalID != "" {
		form.Set("ExternalId", a.role.ExternalID)
	}
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
	denied := "the role " + a.role.ARN + " may not be assumed; look at its trust policy and external id"
	if err := a.call(ctx, form, &r, "assuming the role "+a.role.ARN, denied); err != nil {
		return aws.Credentials{}, err
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
