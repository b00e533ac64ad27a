// Package edge is the list of drivers that the functions link. What is not here is not in their binaries: their size and
// start time are the product.
package edge

import (
	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
)

// Drivers makes a new list each time: full adds to it.
func Drivers() app.Drivers {
	return app.Drivers{
		Documents: map[string]func(string, []byte) (*config.Document, error){".json": config.ReadJSON},
		Upstreams: map[string]func(app.Env, config.Upstream) (secret.Upstream, error){
			"vault": openVault, "secretsmanager": SecretsManager(environment), "parameterstore": ParameterStore(environment),
			"keyhole": Keyhole(environment),
		},
		States: map[string]func(app.Env, config.State) (state.Store, error){"memory": openMemory},
		Sinks: map[string]func(app.Env, config.Sink) (audit.Sink, error){
			"file": openFileSink, "stdout": openStdout, "dynamodb": DynamoDBSink(environment), "firehose": FirehoseSink(environment),
		},
	}
}

func openMemory(e app.Env, _ config.State) (state.Store, error) {
	return state.NewMemory(state.MemoryConfig{Wall: e.Wall})
}
