package awsjson_test

import (
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
)

// Each partition of AWS has a domain of its own.
func TestEndpoints(t *testing.T) {
	for _, tt := range []struct{ set, region, want string }{
		{"", "eu-west-1", "https://ssm.eu-west-1.amazonaws.com/"},
		{"", "us-gov-west-1", "https://ssm.us-gov-west-1.amazonaws.com/"},
		{"", "cn-north-1", "https://ssm.cn-north-1.amazonaws.com.cn/"},
		{"", "us-iso-east-1", "https://ssm.us-iso-east-1.c2s.ic.gov/"},
		{"", "us-isob-east-1", "https://ssm.us-isob-east-1.sc2s.sgov.gov/"},
		{"", "eusc-de-east-1", "https://ssm.eusc-de-east-1.amazonaws.eu/"},
		{"http://127.0.0.1:4566", "eu-west-1", "http://127.0.0.1:4566/"},
		{"https://proxy.example/aws/", "eu-west-1", "https://proxy.example/aws/"},
	} {
		if got := awsjson.EndpointOf(tt.set, "ssm", tt.region); got != tt.want {
			t.Errorf("%q in %s: got %s, want %s", tt.set, tt.region, got, tt.want)
		}
	}
}
