package awsjson

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// maxSTS bounds an answer of STS, which holds some short texts.
const maxSTS = 64 << 10

// sts calls AWS STS, in the AWS query protocol, with the credentials of from.
type sts struct {
	caller
	from             *sessions
	region, endpoint string
	explain          explainer
}

func (c Config) sts(to caller, from *sessions) sts {
	return sts{caller: to, from: from, region: c.Region, endpoint: endpointOf(c.STSEndpoint, "sts", c.Region), explain: xmlError}
}

// call makes a call and reads its answer into an object of encoding/xml. Whatever STS refuses is about who we are and not
// about any secret: errors are ErrLogin, which may wrap that of ctx, ErrClock or ErrClosed. doing says what the call is
// for, and denied what it means that it is not allowed.
func (c sts) call(ctx context.Context, form url.Values, into any, doing, denied string) error {
	form.Set("Version", "2011-06-15")
	got, err := c.exchange(ctx, c.from, exchange{
		url: c.endpoint, service: "sts", region: c.region, body: []byte(form.Encode()), most: maxSTS,
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}, "Accept": {"application/xml"}},
	}, c.explain)
	switch {
	case errors.Is(err, secret.ErrDenied):
		return fmt.Errorf("%w: %s", ErrLogin, denied) // not the sentinel: it denies no secret
	case errors.Is(err, ErrLogin), errors.Is(err, ErrClock), errors.Is(err, ErrClosed):
		return err
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrLogin, doing, err)
	}
	defer clear(got.Body)
	if err := xml.Unmarshal(got.Body, into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrLogin, doing, ErrMalformed)
	}
	return nil
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
