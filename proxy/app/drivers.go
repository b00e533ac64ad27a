package app

import (
	"crypto/ed25519"
	"log/slog"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
	"github.com/keyhole-edge/keyhole/wasm"
)

// Drivers are the concrete mechanisms a deployable links, by the type names of the configuration. They are passed in, so
// that a binary holds exactly what its list names.
type Drivers struct {
	Documents map[string]func(name string, data []byte) (*config.Document, error) // by file extension, such as ".yaml"
	Upstreams map[string]func(Env, config.Upstream) (secret.Upstream, error)
	States    map[string]func(Env, config.State) (state.Store, error)
	Sinks     map[string]func(Env, config.Sink) (audit.Sink, error)
	Native    wasm.Native // machine code of policies; nil: policies.Native, what the program was built with
}

// Env is what every driver may use.
type Env struct {
	Config   *config.Config
	Getenv   func(string) string
	Wall     func() time.Time
	Logger   *slog.Logger
	AuditKey ed25519.PrivateKey // for sinks that start a file
}

// Resolve reads what a reference of the configuration leads to.
func (e Env) Resolve(r config.Ref) ([]byte, error) { return r.Resolve(e.Config.Dir, e.Getenv) }
