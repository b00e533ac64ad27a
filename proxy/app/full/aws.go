package full

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
)

// loginTime bounds one request for credentials. The chain does not end one for whoever wanted it having left.
const loginTime = 10 * time.Second

// awsChain is what every AWS program on a machine goes by: the environment, the profiles of the user, web identities,
// single sign-on, containers and the role of an instance. It reads files, and asks the network only when credentials are
// wanted.
func awsChain(app.Env) (awsjson.Provider, string, error) {
	c, err := loadChain(context.Background())
	if err != nil {
		// The text may quote the user's files.
		return nil, "", errors.New("the AWS configuration of the environment or of the profile cannot be read")
	}
	return aws.CredentialsProviderFunc(retrieve), c.Region, nil
}

// retrieve goes along a chain of its own: one that is kept would make every login wait for one that hangs, and would not
// see what has changed in the user's files.
func retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := loadChain(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return c.Credentials.Retrieve(ctx)
}

// loadChain keeps the chain from writing to the standard error output by itself, which is no place for what others answer.
func loadChain(ctx context.Context) (aws.Config, error) {
	return awsconfig.LoadDefaultConfig(ctx,
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithTimeout(loginTime)), awsconfig.WithLogger(logging.Nop{}))
}
