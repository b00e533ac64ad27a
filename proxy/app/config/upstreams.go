package config

import "github.com/keyhole-edge/keyhole/proxy/secret"

// Upstream is one vault. The part of its Type is set.
type Upstream struct {
	Type     string    `key:"type" union:"true" required:"true" enum:"embedded|vault|secretsmanager|parameterstore|keyhole" doc:"Kind of vault."`
	Embedded *Embedded `variant:"embedded"`
	Vault    *Vault    `variant:"vault"`
	AWS      *AWS      `variant:"secretsmanager|parameterstore"`
	Keyhole  *Keyhole  `variant:"keyhole"`
}

// Refs is every reference of u but for those of the vault in a file, by its key.
func (u Upstream) Refs() map[string]Ref {
	switch {
	case u.Vault != nil:
		return u.Vault.Refs()
	case u.Keyhole != nil:
		return u.Keyhole.Refs()
	}
	return nil
}

// Embedded is the vault in a file of our own.
type Embedded struct {
	Path string `key:"path" required:"true" doc:"The file; it is created when missing."`
	Key  Ref    `key:"key" required:"true" private:"true" doc:"Master key that seals it."`

	Limits *UpstreamLimits `key:"limits" doc:"What this node may ask of it."`
}

// Vault is a HashiCorp Vault or OpenBao.
type Vault struct {
	Address   string         `key:"address" required:"true" format:"url" doc:"URL of the server."`
	Namespace string         `key:"namespace" doc:"Namespace of engine and auth method, where the server has them."`
	KV        KV             `key:"kv" doc:"The secrets engine."`
	Auth      VaultAuth      `key:"auth" doc:"How to log in."`
	TLS       VaultTLS       `key:"tls" doc:"How server and client prove who they are."`
	Limits    UpstreamLimits `key:"limits" doc:"What this node may ask of it."`
	Poll      Poll           `key:"poll" doc:"Asking for changes that were made behind Keyhole."`
}

// Poll is how changes are looked for in an upstream that tells of none.
type Poll struct {
	Interval Duration `key:"interval" default:"0s" doc:"How often the versions of what is cached are asked for, without values; 0 never, or 1s at least. All of max_paths may take half of limits.rate."`
	MaxPaths int      `key:"max_paths" default:"100" min:"1" max:"10000" doc:"Most cached paths that are watched. The rest is seen changed at its soft_ttl."`
}

// Refs is every reference of v, by its key.
func (v *Vault) Refs() map[string]Ref {
	refs := map[string]Ref{"tls.ca": v.TLS.CA, "tls.cert": v.TLS.Cert, "tls.key": v.TLS.Key}
	switch a := v.Auth; {
	case a.Token != nil:
		refs["auth.token"] = a.Token.Token
	case a.AppRole != nil:
		refs["auth.role_id"], refs["auth.secret_id"] = a.AppRole.RoleID, a.AppRole.SecretID
	case a.JWT != nil:
		refs["auth.jwt"] = a.JWT.JWT
	case a.Kubernetes != nil:
		refs["auth.jwt"] = a.Kubernetes.JWT
	}
	return refs
}

// KV is a key/value secrets engine.
type KV struct {
	Mount   string `key:"mount" required:"true" default:"secret" doc:"Path at which the engine is mounted."`
	Version int    `key:"version" default:"2" min:"1" max:"2" doc:"Version of the engine. 1 keeps no versions and takes no writes."`
}

// VaultAuth is a login. The part of its Method is set.
type VaultAuth struct {
	Method     string           `key:"method" union:"true" required:"true" enum:"token|approle|jwt|kubernetes" doc:"Auth method."`
	Token      *VaultToken      `variant:"token"`
	AppRole    *AppRole         `variant:"approle"`
	JWT        *VaultJWT        `variant:"jwt"`
	Kubernetes *VaultKubernetes `variant:"kubernetes"`
}

// VaultToken is a token that somebody else gets and renews.
type VaultToken struct {
	Token Ref `key:"token" required:"true" private:"true" doc:"The token, such as an agent writes it to a file. It is read again when the vault refuses it."`
}

// AppRole is the approle auth method.
type AppRole struct {
	Mount    string `key:"mount" required:"true" default:"approle" doc:"Path at which the auth method is mounted."`
	RoleID   Ref    `key:"role_id" required:"true" doc:"Role to log in as."`
	SecretID Ref    `key:"secret_id" required:"true" private:"true" doc:"Secret of the role, read at each login."`
	Inline   bool   `key:"inline" default:"false" doc:"Send the login with each request, in place of a token that is kept. OpenBao 2.4 and later."`
}

// VaultJWT is the jwt auth method.
type VaultJWT struct {
	Mount  string `key:"mount" required:"true" default:"jwt" doc:"Path at which the auth method is mounted."`
	Role   string `key:"role" required:"true" doc:"Role to log in as."`
	JWT    Ref    `key:"jwt" required:"true" doc:"JSON Web Token, read at each login."`
	Inline bool   `key:"inline" default:"false" doc:"Send the login with each request, in place of a token that is kept. OpenBao 2.4 and later."`
}

// VaultKubernetes is the kubernetes auth method.
type VaultKubernetes struct {
	Mount  string `key:"mount" required:"true" default:"kubernetes" doc:"Path at which the auth method is mounted."`
	Role   string `key:"role" required:"true" doc:"Role to log in as."`
	JWT    Ref    `key:"jwt" required:"true" default:"file:/var/run/secrets/kubernetes.io/serviceaccount/token" doc:"JSON Web Token, read at each login."`
	Inline bool   `key:"inline" default:"false" doc:"Send the login with each request, in place of a token that is kept. OpenBao 2.4 and later."`
}

// VaultTLS is how the two sides prove who they are.
type VaultTLS struct {
	CA   Ref `key:"ca" doc:"Authorities that may have signed the server's certificate, PEM; those of the system when absent."`
	Cert Ref `key:"cert" doc:"Client certificate, PEM, read for each connection."`
	Key  Ref `key:"key" private:"true" doc:"Its key, PEM, read for each connection."`
}

// UpstreamLimits bounds what this node asks of an upstream.
type UpstreamLimits struct {
	Concurrency int `key:"concurrency" default:"32" min:"1" max:"100000" doc:"Requests in flight."`
	Rate        int `key:"rate" default:"100" min:"0" max:"1000000" doc:"Requests per second; 0 sets no limit."`
}

// AWS is Secrets Manager or Parameter Store.
type AWS struct {
	Region   string         `key:"region" format:"name" doc:"AWS region; AWS_REGION of the environment when empty."`
	RoleARN  string         `key:"role_arn" format:"arn" doc:"Role to assume first."`
	Endpoint string         `key:"endpoint" format:"url" doc:"Endpoint to use in place of AWS's own, and of AWS_ENDPOINT_URL in the environment."`
	Timeout  Duration       `key:"timeout" default:"4s" min:"1ms" doc:"Longest wait for the answer to one request of a read, which may be tried again."`
	Limits   UpstreamLimits `key:"limits" doc:"What this node may ask of it."`

	// Assume is the role of the mount that an instance of the upstream is for, and Places the ARNs that mounts of the
	// upstream stand at. They are no part of the document.
	Assume *AssumeRole
	Places []string
}

// Mount serves the paths under Path from an upstream. Its name is its path.
type Mount struct {
	Path       secret.Path       `key:"path" required:"present" doc:"Paths from here down; empty for all that no nearer mount has."`
	Upstream   string            `key:"upstream" required:"true" doc:"Name of the upstream."`
	At         string            `key:"at" format:"place" doc:"Place in the upstream; its root when empty. For AWS upstreams it may be an ARN, whose region is then asked."`
	Layout     string            `key:"layout" enum:"objects|fields" default:"objects" doc:"objects: an object is a secret. fields: the last segment names a field of the object that the rest names."`
	AssumeRole *AssumeRole       `key:"assume_role" doc:"Role to assume for this mount, AWS upstreams only."`
	Labels     map[string]string `key:"labels" doc:"Labels of all secrets here. classification is one of public, internal, confidential, restricted."`
	Freshness  string            `key:"freshness" enum:"strict|bounded|eventual" default:"bounded" doc:"When the state store is asked before a cached value is served."`
	Cache      MountCache        `key:"cache" doc:"How long values are kept."`
}

// AssumeRole is a role of AWS.
type AssumeRole struct {
	ARN        string `key:"arn" format:"arn" doc:"The role."`
	ExternalID string `key:"external_id" doc:"External id that the role asks for."`
}

// MountCache is how long values of a mount are kept.
type MountCache struct {
	SoftTTL      Duration `key:"soft_ttl" default:"60s" doc:"Serve without a question."`
	HardTTL      Duration `key:"hard_ttl" default:"300s" doc:"Refresh before serving. 0, with soft_ttl, keeps nothing."`
	StaleIfError Duration `key:"stale_if_error" default:"1h" doc:"Greatest age of a value that is served past hard_ttl while the upstream fails. 0 for a restricted secret, whatever is set."`
	NegativeTTL  Duration `key:"negative_ttl" default:"10s" doc:"Remember that there is no such secret, more or less half of it at random; 0 never."`
}

// LabelRule labels the paths that a pattern matches.
type LabelRule struct {
	Match secret.Pattern    `key:"match" required:"true" doc:"Pattern of paths."`
	Set   map[string]string `key:"set" required:"true" doc:"Labels to set."`
}
