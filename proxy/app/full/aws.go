package full

import (
	"context"
	"errors"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
)

// awsChain is what every AWS program on a machine goes by: the environment, the profiles of the user, web identities,
// single sign-on, containers and the role of an instance. It reads files, and asks the network only when credentials are
// wanted.
func awsChain(app.Env) (awsjson.Provider, string, error) {
	c, err := awsconfig.LoadDefaultConfig(context.Background())
	if err != nil {
		// The text may quote the user's files.
		return nil, "", errors.New("the AWS configuration of the environment or of the profile cannot be read")
	}
	return c.Credentials, c.Region, nil
}
