package awsjson

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// exchange is one POST, signed.
type exchange struct {
	url, service, region string
	header               http.Header
	body                 []byte
	most                 int // bytes of the answer
}

// caller is what signs and sends.
type caller struct {
	wire   *wire.Wire
	signer *v4.Signer
	wall   func() time.Time
}

func (c *Client) exchange(ctx context.Context, k *sessions, x exchange, explain explainer) (*wire.Answer, error) {
	return caller{c.wire, c.signer, c.wall}.exchange(ctx, k, x, explain)
}

// explainer reads the name and the message of an error from an answer: "" where it holds none.
type explainer func(*wire.Answer) (code, message string)

// exchange sends x with the credentials of k. Where AWS takes them not, or refuses what is asked, it is asked once more,
// if there are others by then.
func (c caller) exchange(ctx context.Context, k *sessions, x exchange, explain explainer) (*wire.Answer, error) {
	s, err := k.get(ctx)
	if err != nil {
		return nil, err
	}
	a, err := c.try(ctx, s.creds, x, explain)
	if !errors.Is(err, ErrLogin) && !errors.Is(err, secret.ErrDenied) {
		return a, err
	}
	renewed, failed := k.renew(ctx, s, errors.Is(err, secret.ErrDenied))
	switch {
	case failed != nil:
		return nil, failed // not err: a refusal is believed the second time only
	case same(renewed.creds, s.creds):
		return nil, err
	}
	a, err = c.try(ctx, renewed.creds, x, explain)
	if errors.Is(err, ErrLogin) {
		k.inVain(renewed)
	}
	return a, err
}

func same(a, b aws.Credentials) bool {
	return a.AccessKeyID == b.AccessKeyID && a.SecretAccessKey == b.SecretAccessKey && a.SessionToken == b.SessionToken
}

func (c caller) try(ctx context.Context, creds aws.Credentials, x exchange, explain explainer) (*wire.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.url, bytes.NewReader(x.body))
	if err != nil {
		return nil, fmt.Errorf("%w: the endpoint is no URL", secret.ErrUnavailable)
	}
	req.Header = x.header.Clone()
	req.Header.Set("User-Agent", "keyhole")
	sum := sha256.Sum256(x.body)
	if err := c.signer.SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), x.service, x.region, c.wall()); err != nil {
		return nil, fmt.Errorf("%w: cannot sign", ErrLogin)
	}
	a, err := c.wire.Send(ctx, req, x.most)
	if err != nil {
		return nil, err
	}
	if a.Status == http.StatusOK {
		return a, nil
	}
	defer clear(a.Body)
	code, message := explain(a)
	return nil, failure(a, code, message, c.wall())
}
