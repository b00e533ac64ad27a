package awsjson

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Environment is the credentials that a process is given by its surroundings: in AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, as Lambda does, or by the endpoint of a container, as ECS and EKS Pod
// Identity do. It reads the variables each time it is asked.
func Environment(getenv func(string) string) Provider {
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		c := aws.Credentials{
			AccessKeyID: getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken: getenv("AWS_SESSION_TOKEN"), Source: "Environment",
		}
		if c.HasKeys() {
			return c, nil
		}
		e, err := containerEndpoint(getenv)
		switch {
		case err != nil:
			return aws.Credentials{}, err
		case e == nil:
			return aws.Credentials{}, fmt.Errorf("%w are missing: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where AWS gives a role", ErrLogin)
		}
		return e.fetch(ctx)
	})
}

// Settings are what the environment says to every AWS client.
type Settings struct {
	Region                string
	Endpoint, STSEndpoint string
	CA                    []byte
}

// FromEnvironment reads AWS_REGION (or AWS_DEFAULT_REGION), AWS_ENDPOINT_URL_SERVICE (or AWS_ENDPOINT_URL), which
// AWS_IGNORE_CONFIGURED_ENDPOINT_URLS switches off, and the file that AWS_CA_BUNDLE names. service is as in the names of
// these variables: "SECRETS_MANAGER", "SSM".
func FromEnvironment(getenv func(string) string, service string) (Settings, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if v := getenv(name); v != "" {
				return v
			}
		}
		return ""
	}
	s := Settings{Region: first("AWS_REGION", "AWS_DEFAULT_REGION")}
	if !strings.EqualFold(getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		s.Endpoint = first("AWS_ENDPOINT_URL_"+service, "AWS_ENDPOINT_URL")
		s.STSEndpoint = first("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL")
	}
	if file := getenv("AWS_CA_BUNDLE"); file != "" {
		var err error
		if s.CA, err = os.ReadFile(file); err != nil {
			return s, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
	}
	return s, nil
}
