// Package config reads the configuration document (keyhole.yaml, or the same document as JSON) into one Config.
//
// Laws. Every key is described once, by the tags of its field here: name, type, default, limits and documentation; the
// decoder, the environment overrides, Keys and whatever prints a schema read that description and nothing else. A
// document is taken whole or not at all, and every problem found is reported with its place. No message quotes a value
// that may be a secret. Decoding touches no file, no network and no environment: only Ref.Resolve reads, and
// ApplyEnv works on what it is given. The package knows JSON; YAML is the business of package yamlconf, so that a
// binary that reads JSON alone does not link a YAML parser.
package config

import (
	"path/filepath"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// Config is one valid configuration. Defaults are filled in, so that a zero means zero; pointers are nil where the
// document has no such part.
type Config struct {
	Version   int                 `key:"version" required:"true" min:"1" max:"1" doc:"Version of the format of this document."`
	Region    string              `key:"region" format:"name" doc:"Region that this node serves; it goes into audit records and policy requests."`
	Listen    Listen              `key:"listen" doc:"Addresses to listen on. The functions have their own transport and ignore them."`
	Identity  Identity            `key:"identity" doc:"Whose tokens are believed."`
	Upstreams map[string]Upstream `key:"upstreams" doc:"The vaults, by a name of your choice."`
	Mounts    []Mount             `key:"mounts" doc:"Which paths are served from which upstream. The longest whole-segment prefix wins."`
	Labels    []LabelRule         `key:"labels" doc:"Labels for the paths that a pattern matches; they apply in order after those of the mount, and the later one wins."`
	Hooks     map[string]Hook     `key:"hooks" doc:"Who may invalidate by a signed message, POST /v1/hooks/NAME, by a name of your choice."`
	Policy    Policy              `key:"policy" doc:"What decides every request."`
	Cache     Cache               `key:"cache" doc:"Bounds of the value cache over all mounts."`
	State     State               `key:"state" doc:"The log of revocations, approvals and invalidations."`
	Audit     Audit               `key:"audit" doc:"Where decisions are recorded."`
	Limits    Limits              `key:"limits" doc:"Bounds on what callers may ask for."`
	Log       Log                 `key:"log" doc:"The program's own log. It never holds a secret."`
	Telemetry Telemetry           `key:"telemetry" doc:"Metrics and traces."`

	// Dir is the folder of the document: what relative paths are relative to.
	Dir string
}

// Abs returns the path of a file that the document names: relative to the document, not to the working directory.
func (c *Config) Abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Dir, path)
}

// Policy is the chain of policies.
type Policy struct {
	Chain     []PolicyRef `key:"chain" doc:"Policies in order; the first that denies ends it. When absent it is the one policy builtin:scope."`
	Isolation string      `key:"isolation" enum:"pooled|reset|fresh" default:"pooled" doc:"What a policy instance keeps between decisions."`
}

// PolicyRef is one policy of the chain.
type PolicyRef struct {
	Bundle   Ref  `key:"bundle" required:"true" schemes:"builtin|file" doc:"The policy: one that is built in, or a file."`
	Verify   Ref  `key:"verify" schemes:"file|env" doc:"Public key that the bundle must be signed with."`
	Unsigned bool `key:"unsigned" default:"false" doc:"Take the file without a signature."`
	Data     JSON `key:"data" doc:"Static data for the policy: any JSON object."`
}

// Cache bounds the value cache.
type Cache struct {
	Entries     int         `key:"entries" default:"10000" min:"1" max:"100000000" doc:"Most secrets held."`
	Bytes       Size        `key:"bytes" default:"64MiB" min:"64KiB" doc:"Most memory for secrets held."`
	SecondLevel SecondLevel `key:"second_level" doc:"Sealed copies in the state store, for cold starts and outages."`
}

// SecondLevel is the cache that survives a restart.
type SecondLevel struct {
	Enabled bool `key:"enabled" default:"false" doc:"Keep sealed copies."`
	Key     Ref  `key:"key" private:"true" doc:"Key that seals them; needed when enabled."`
}

// State is the log of facts.
type State struct {
	Type     string     `key:"type" union:"true" enum:"memory|file|nats|dynamodb" default:"file" doc:"Kind of store."`
	Check    Duration   `key:"check" default:"1s" min:"1ms" doc:"How old the last look at the store may be when a value is served."`
	MaxBlind Duration   `key:"max_blind" default:"30s" doc:"How long to go on serving while the store cannot be read; never for restricted secrets."`
	File     *StateFile `variant:"file"`
}

// StateFile is a store in one file.
type StateFile struct {
	Path string `key:"path" required:"true" default:"state.db" doc:"The file; it is created when missing."`
}

// Audit says where records go.
type Audit struct {
	Durability string `key:"durability" enum:"process|strict" default:"process" doc:"process: survives the end of the process. strict: survives the loss of power. DynamoDB and Firehose are strict either way; stdout cannot be."`
	Key        Ref    `key:"key" private:"true" doc:"Ed25519 private key (PKCS#8) that signs checkpoints. It may be absent where stdout is the one sink: a key is then made at each start."`
	Sinks      []Sink `key:"sinks" required:"true" doc:"Where records go; at least one must be required."`
}

// Sink is one destination of records.
type Sink struct {
	Type     string        `key:"type" union:"true" required:"true" enum:"file|stdout|dynamodb|firehose" doc:"Kind of destination."`
	Required bool          `key:"required" default:"true" doc:"No value leaves before this sink has the record."`
	File     *SinkFile     `variant:"file"`
	DynamoDB *SinkDynamoDB `variant:"dynamodb"`
	Firehose *SinkFirehose `variant:"firehose"`
}

// SinkFile is a sink that writes JSON lines.
type SinkFile struct {
	Path   string `key:"path" required:"true" doc:"The file; rotated files stand beside it."`
	Rotate Size   `key:"rotate" default:"100MiB" min:"4KiB" max:"1TiB" doc:"Start a new file when one has this size."`
	Keep   int    `key:"keep" default:"30" min:"1" max:"100000" doc:"Most rotated files to keep. Shorter ones, which a failed write leaves, count by their size."`
}

// SinkDynamoDB is a table of items that hold JSON lines.
type SinkDynamoDB struct {
	Table    string `key:"table" required:"true" doc:"Name or ARN of the table. Its partition key is instance, a string, its sort key seq, a number."`
	Region   string `key:"region" format:"name" doc:"AWS region; AWS_REGION of the environment when empty."`
	RoleARN  string `key:"role_arn" format:"arn" doc:"Role to assume first."`
	Endpoint string `key:"endpoint" format:"url" doc:"Endpoint to use in place of AWS's own, and of AWS_ENDPOINT_URL in the environment."`
}

// SinkFirehose is a stream of Amazon Data Firehose that delivers JSON lines.
type SinkFirehose struct {
	Stream   string `key:"stream" required:"true" doc:"Name of the stream."`
	Region   string `key:"region" format:"name" doc:"AWS region; AWS_REGION of the environment when empty."`
	RoleARN  string `key:"role_arn" format:"arn" doc:"Role to assume first."`
	Endpoint string `key:"endpoint" format:"url" doc:"Endpoint to use in place of AWS's own, and of AWS_ENDPOINT_URL in the environment."`
}

// Limits bounds callers.
type Limits struct {
	RequestsPerSecond int `key:"requests_per_second" default:"0" min:"0" max:"1000000000" doc:"Requests per second from one source address; 0 sets no limit."`
	PerPrincipal      int `key:"per_principal" default:"0" min:"0" max:"1000000000" doc:"Requests per second from one principal; 0 sets no limit."`
	MaxInFlight       int `key:"max_in_flight" default:"1024" min:"1" max:"1000000" doc:"Requests served at the same time."`
}

// Log is the program's own log.
type Log struct {
	Level  string `key:"level" enum:"debug|info|warn|error" default:"info" doc:"Least level that is written."`
	Format string `key:"format" enum:"json|text" default:"json" doc:"Form of a line."`
}

// Telemetry is metrics and traces.
type Telemetry struct {
	Prometheus bool   `key:"prometheus" default:"true" doc:"Serve metrics on the admin listener."`
	OTLP       string `key:"otlp" format:"url" doc:"OTLP endpoint; nothing is sent when empty."`
}

// Parse decodes and checks a document that was read from the file called name. Every error is an Errors.
func Parse(name string, root *strictjson.Node) (*Config, error) {
	return NewDocument(name, root).Decode()
}
