// Package full is the list of drivers that the server and CLI link: all there are.
package full

import (
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/edge"
	"github.com/keyhole-edge/keyhole/proxy/app/vaultfile"
	"github.com/keyhole-edge/keyhole/proxy/app/yamlconf"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
	"github.com/keyhole-edge/keyhole/proxy/state/boltstore"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// Drivers are those of package edge and what only a server needs.
func Drivers() app.Drivers {
	d := edge.Drivers()
	d.Documents[".yaml"] = yamlconf.Read
	d.Documents[".yml"] = yamlconf.Read
	d.Upstreams["embedded"] = openEmbedded
	d.Upstreams["secretsmanager"] = edge.SecretsManager(awsChain)
	d.Upstreams["parameterstore"] = edge.ParameterStore(awsChain)
	d.Upstreams["keyhole"] = edge.Keyhole(awsChain)
	d.States["file"] = openFileState
	d.Sinks["dynamodb"] = edge.DynamoDBSink(awsChain)
	d.Sinks["firehose"] = edge.FirehoseSink(awsChain)
	return d
}

func openEmbedded(e app.Env, u config.Upstream) (secret.Upstream, error) {
	f := vaultfile.Of(e.Config, "", *u.Embedded, e.Getenv)
	v, err := f.Open(embedded.Config{Wall: e.Wall, Logger: e.Logger})
	if err != nil {
		return nil, app.NameHolder(f.Path, err, embedded.ErrLocked)
	}
	return v, nil
}

func openFileState(e app.Env, s config.State) (state.Store, error) {
	path := e.Config.Abs(s.File.Path)
	store, err := boltstore.Open(boltstore.Config{Path: path, Wall: e.Wall})
	return store, app.NameHolder(path, err, boltstore.ErrLocked)
}
