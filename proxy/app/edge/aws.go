package edge

import (
	"cmp"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/parameterstore"
	"github.com/keyhole-edge/keyhole/proxy/upstream/secretsmanager"
)

// AWSBase says who we are in AWS before any role is assumed, and in which region where neither the configuration nor the
// environment names one.
type AWSBase func(app.Env) (base awsjson.Provider, region string, err error)

// environment is the AWSBase of the functions: whoever runs them hands them credentials.
func environment(e app.Env) (awsjson.Provider, string, error) {
	return awsjson.Environment(e.Getenv), "", nil
}

// SecretsManager makes the driver of AWS Secrets Manager.
func SecretsManager(base AWSBase) func(app.Env, config.Upstream) (secret.Upstream, error) {
	return func(e app.Env, u config.Upstream) (secret.Upstream, error) {
		c, err := awsConfig(e, u.AWS, "SECRETS_MANAGER", base)
		if err != nil {
			return nil, err
		}
		return secretsmanager.New(c, u.AWS.Places...)
	}
}

// ParameterStore makes the driver of AWS Systems Manager Parameter Store.
func ParameterStore(base AWSBase) func(app.Env, config.Upstream) (secret.Upstream, error) {
	return func(e app.Env, u config.Upstream) (secret.Upstream, error) {
		c, err := awsConfig(e, u.AWS, "SSM", base)
		if err != nil {
			return nil, err
		}
		return parameterstore.New(c)
	}
}

// awsConfig joins configuration and environment, of which the configuration counts first. A mount's role is assumed with
// that of the upstream, where there is one.
func awsConfig(e app.Env, a *config.AWS, service string, base AWSBase) (awsjson.Config, error) {
	s, err := awsjson.FromEnvironment(e.Getenv, service)
	if err != nil {
		return awsjson.Config{}, err
	}
	provider, region, err := base(e)
	if err != nil {
		return awsjson.Config{}, err
	}
	c := awsjson.Config{
		Region: cmp.Or(a.Region, s.Region, region), Endpoint: cmp.Or(a.Endpoint, s.Endpoint), STSEndpoint: s.STSEndpoint,
		CA: s.CA, Credentials: provider, Wall: e.Wall, Logger: e.Logger,
	}
	if a.RoleARN != "" {
		c.Roles = append(c.Roles, awsjson.Role{ARN: a.RoleARN, Key: "role_arn"})
	}
	if a.Assume != nil {
		c.Roles = append(c.Roles, awsjson.Role{ARN: a.Assume.ARN, ExternalID: a.Assume.ExternalID, Key: "assume_role"})
	}
	return c, nil
}
