package awsjson

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/localhost"
	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
)

// container is the endpoint that gives the credentials of a container's role.
type container struct {
	url   string
	token string // value of the header Authorization; "" sends none
}

// containerHosts are the link-local addresses of ECS and of EKS Pod Identity.
var containerHosts = [...]string{"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}

// containerEndpoint reads the variables that AWS sets in containers; nil where there are none. Only https, this machine
// and the addresses of AWS itself are asked: whoever answers says who we are.
func containerEndpoint(getenv func(string) string) (*container, error) {
	e := &container{token: getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")}
	switch relative, full := getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"); {
	case strings.HasPrefix(relative, "/"):
		e.url = "http://" + containerHosts[0] + relative
	case full != "":
		u, err := url.Parse(full)
		if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && ofContainer(u.Hostname())) {
			return nil, fmt.Errorf("%w: AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an address of this machine or of a container's AWS endpoint", ErrLogin)
		}
		e.url = full
	default:
		return nil, nil
	}
	if file := getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%w: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %w", ErrLogin, err)
		}
		e.token = strings.TrimSpace(string(text))
	}
	if strings.ContainsAny(e.token, "\r\n") {
		return nil, fmt.Errorf("%w: the authorization token of the container has more than one line", ErrLogin)
	}
	return e, nil
}

func ofContainer(host string) bool {
	if localhost.Is(host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	for _, h := range containerHosts {
		if err == nil && ip == netip.MustParseAddr(h) {
			return true
		}
	}
	return false
}

// fetch asks on a connection of its own: once in some hours.
func (e *container) fetch(ctx context.Context) (aws.Credentials, error) {
	w, err := wire.New(wire.Config{})
	if err != nil {
		return aws.Credentials{}, err
	}
	defer w.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, nil)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("%w: the endpoint of the container is no URL", ErrLogin)
	}
	req.Header.Set("Accept", "application/json")
	if e.token != "" {
		req.Header.Set("Authorization", e.token)
	}
	a, err := w.Send(ctx, req, maxSTS)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("%w: asking the endpoint of the container: %w", ErrLogin, err)
	}
	defer clear(a.Body)
	if a.Status != http.StatusOK {
		return aws.Credentials{}, fmt.Errorf("%w: the endpoint of the container answered %d", ErrLogin, a.Status)
	}
	root, err := strictjson.Parse(a.Body, strictjson.Limits{Bytes: maxSTS})
	if err != nil || root.Kind != strictjson.Object {
		return aws.Credentials{}, fmt.Errorf("%w: the endpoint of the container answered no JSON object", ErrLogin)
	}
	defer root.Wipe()
	c := aws.Credentials{Source: "Container", CanExpire: true}
	c.AccessKeyID, _ = root.Get("AccessKeyId").Str()
	c.SecretAccessKey, _ = root.Get("SecretAccessKey").Str()
	c.SessionToken, _ = root.Get("Token").Str()
	until, _ := root.Get("Expiration").Str()
	if c.Expires, err = time.Parse(time.RFC3339, until); err != nil || !c.HasKeys() {
		return aws.Credentials{}, fmt.Errorf("%w: the endpoint of the container answered no credentials", ErrLogin)
	}
	return c, nil
}
