// Package awsjson makes signed calls of the AWS JSON protocols, for upstreams and sinks that live in AWS, with the signer and the
// credential interfaces of AWS's SDK and none of its service clients.
//
// Its laws:
//   - New asks nothing of the network. Credentials are fetched by the first call, kept until they near their end by the
//     wall clock, and fetched by one call at a time.
//   - Whether AWS refused us or our credentials is kept apart: only the first is secret.ErrDenied, and only after one
//     set of new credentials. Credentials that AWS does not take are a failure (ErrLogin), for a cached value must
//     survive it.
//   - "No such secret" is said only in AWS's own words, by the name of the error. A page of a gateway is a failure.
//   - Answers are bounded before they are parsed, and parsed strictly. What held them on the way is wiped. No error
//     quotes an answer: of an error of AWS its name is told, if it is nothing but letters.
//   - Redirects are not followed, and proxies of the environment are not used.
package awsjson

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/localhost"
	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
)

// Provider gives credentials.
type Provider = aws.CredentialsProvider

// Service is one API of AWS.
type Service struct {
	Name   string // as in its endpoints and in signatures: "ssm"
	Target string // what stands before the action in X-Amz-Target, with its dot: "AmazonSSM."
	// Version of the protocol, 1.0 or 1.1; "" is 1.1.
	Version string
}

// Role is assumed with the credentials that came before it.
type Role struct {
	ARN        string
	ExternalID string // "" sends none
	Key        string // of the configuration, by which a Checkup names it
}

// Config says which API to call, and as whom.
type Config struct {
	Service Service
	Region  string
	// Endpoint and STSEndpoint are the URLs to call in place of AWS's own for the region; "" is AWS's own.
	Endpoint, STSEndpoint string
	// CA is the authorities that may have signed the certificates of the endpoints, PEM; empty means those of the system.
	CA []byte
	// Credentials is who we are to begin with, asked for each login: it should keep none. Roles are assumed one after another.
	Credentials Provider
	Roles       []Role
	// Wall signs and measures the age of sessions; nil is time.Now.
	Wall func() time.Time
	// Logger hears of an endpoint without TLS; nil discards.
	Logger *slog.Logger
}

// Client is safe for concurrent use.
type Client struct {
	service  Service
	region   string
	endpoint string // "": AWS's own
	wire     *wire.Wire
	sessions *sessions
	signer   *v4.Signer
	wall     func() time.Time
}

// New returns a client.
func New(c Config) (*Client, error) {
	if c.Service.Name == "" || c.Service.Target == "" {
		return nil, errors.New("aws: Service must be set")
	}
	to, k, err := c.open()
	if err != nil {
		return nil, err
	}
	return &Client{
		service: c.Service, region: c.Region, endpoint: c.Endpoint, wire: to.wire, sessions: k, signer: to.signer, wall: to.wall,
	}, nil
}

// open makes what signs and sends, and what keeps the credentials for it.
func (c Config) open() (to caller, k *sessions, err error) {
	if c.Region == "" || strings.ContainsFunc(c.Region, notName) {
		return to, nil, errors.New("aws: the region is missing or none; set the key region, or AWS_REGION")
	}
	if c.Credentials == nil {
		return to, nil, errors.New("aws: Credentials must be set")
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for _, endpoint := range []string{c.Endpoint, c.STSEndpoint} {
		if err := checkEndpoint(endpoint, c.Logger); err != nil {
			return to, nil, err
		}
	}
	w, err := wire.New(wire.Config{CA: c.CA, Wall: c.Wall})
	if err != nil {
		return to, nil, fmt.Errorf("aws: %w", err)
	}
	to = caller{w, v4.NewSigner(), c.Wall}
	k = newSessions(c.Credentials, c.Wall)
	for _, r := range c.Roles {
		if r.ARN == "" {
			return to, nil, errors.New("aws: a role without an ARN")
		}
		k = newSessions(&assumer{role: r, sts: c.sts(to, k)}, c.Wall)
	}
	return to, k, nil
}

// checkEndpoint takes "" and URLs without user, query and fragment.
func checkEndpoint(endpoint string, log *slog.Logger) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("aws: an endpoint must be http://HOST:PORT or https://HOST:PORT, without user, query and fragment")
	}
	if localhost.Exposed(u) {
		log.Warn("an AWS endpoint is reached without TLS: secrets can be read on the way", "endpoint", u.Redacted())
	}
	return nil
}

// Request is one call.
type Request struct {
	Action string // "GetSecretValue"
	Region string // "" is the client's own
	Body   []byte // JSON, without secrets
	Most   int    // bytes that the answer may have
}

// Call makes a call and returns the answer, an object that the caller wipes.
func (c *Client) Call(ctx context.Context, r Request) (*strictjson.Node, error) {
	return c.call(ctx, c.sessions, r, jsonError)
}

func (c *Client) call(ctx context.Context, k *sessions, r Request, explain explainer) (*strictjson.Node, error) {
	region := r.Region
	if region == "" {
		region = c.region
	}
	a, err := c.exchange(ctx, k, exchange{
		url: endpointOf(c.endpoint, c.service.Name, region), service: c.service.Name, region: region,
		header: http.Header{"Content-Type": {"application/x-amz-json-" + cmp.Or(c.service.Version, "1.1")}, "X-Amz-Target": {c.service.Target + r.Action}},
		body:   r.Body, most: r.Most,
	}, explain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Action, err)
	}
	defer clear(a.Body)
	// Names in answers may be users' own.
	root, err := strictjson.Parse(a.Body, strictjson.Limits{Bytes: r.Most, ExactNames: true})
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", r.Action, ErrMalformed)
	case root.Kind != strictjson.Object:
		root.Wipe()
		return nil, fmt.Errorf("%s: %w", r.Action, ErrMalformed)
	}
	return root, nil
}

// Region is the one that is asked unless a request says another.
func (c *Client) Region() string { return c.region }

// Close ends the calls that are under way and releases the connections. Later calls fail with ErrClosed.
func (c *Client) Close() error {
	c.wire.Close()
	return nil
}
