package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const (
	awsTokenHeader = "X-Aws-Parameters-Secrets-Token"
	awsAgentHeader = "X-Vault-Token" // the agent takes its token there as well
	awsPathPrefix  = "/v1/"
)

// AWSConfig is what the AWS dialect is made of.
type AWSConfig struct {
	Proxy  *proxy.Proxy // required
	Region string       // of the ARNs in answers; may be ""
	// Secrets and Parameters are the paths below which names are looked up. Zero: a name is a path.
	Secrets, Parameters secret.Path
	Logger              *slog.Logger // nil: discard
}

// AWS is the HTTP dialect of the AWS Parameters and Secrets Lambda Extension, and the path-style reads of the AWS Secrets
// Manager Agent. It is for programs on the same machine: its answers travel unencrypted, so whatever came from elsewhere,
// or through a browser, is refused.
type AWS struct {
	proxy      *proxy.Proxy
	region     string
	secrets    secret.Path
	parameters secret.Path
	log        *slog.Logger
}

// NewAWS validates c.
func NewAWS(c AWSConfig) (*AWS, error) {
	if c.Proxy == nil {
		return nil, errors.New("httpapi: the AWS dialect needs a proxy")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &AWS{proxy: c.Proxy, region: c.Region, secrets: c.Secrets, parameters: c.Parameters, log: c.Logger}, nil
}

// ServeHTTP answers one request.
func (a *AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer rescue(a.log, func(err error) { writeAWSError(w, r, err) })
	setPrivate(w.Header())
	if err := a.route(w, r); err != nil {
		writeAWSError(w, r, err)
	}
}

func (a *AWS) route(w http.ResponseWriter, r *http.Request) error {
	if err := fromHere(r); err != nil {
		return err
	}
	if err := allow(w, r, http.MethodGet); err != nil {
		return fail(api.MethodNotAllowed, "Not allowed")
	}
	if err := bodyless(w, r); err != nil {
		return err
	}
	path, err := decodedOnce(r.URL, awsPathPrefix)
	if err != nil {
		return err
	}
	if path == "/ping" {
		writeText(w, http.StatusOK, "healthy")
		return nil
	}
	handle := a.parameter
	switch id, ok := strings.CutPrefix(path, awsPathPrefix); {
	case ok:
		handle = func(w http.ResponseWriter, r *http.Request) error { return a.namedSecret(w, r, id) }
	case path == "/secretsmanager/get", path == "/secretsmanager/get/":
		handle = a.secret
	case !isParameterRoute(path):
		return fail(api.UnknownRoute, "Not found")
	}
	if err := a.proxy.Enter(r.Context(), false); err != nil {
		return err
	}
	defer a.proxy.Leave()
	return handle(w, r)
}

// isParameterRoute tells Parameter Store's route, whose documentation has it with a slash at the end and without.
func isParameterRoute(path string) bool {
	return strings.TrimSuffix(path, "/") == "/systemsmanager/parameters/get"
}

// read sends the request down the decision path, and then what came of it.
func (a *AWS) read(w http.ResponseWriter, r *http.Request, req proxy.ReadRequest, write func([]byte, *proxy.Answer) []byte) error {
	token, err := awsToken(r.Header)
	if err != nil {
		return err
	}
	c := callOf(r, token, "aws", peer(r))
	answer, err := a.proxy.Read(r.Context(), &c, req)
	if err != nil {
		return err
	}
	defer answer.Release()
	h := w.Header()
	h["X-Keyhole-Decision"] = []string{answer.Decision}
	h["Age"] = []string{ageText(answer.Age)}
	h["X-Keyhole-Cache"] = cacheHeader(&answer)
	buf := take()
	*buf = write(*buf, &answer)
	send(w, buf)
	return nil
}

// awsToken is the one token in the headers that may carry one, "" where there is none.
func awsToken(h http.Header) (string, error) {
	own, agents := h[awsTokenHeader], h[awsAgentHeader]
	if len(own)+len(agents) > 1 {
		return "", fail(api.InvalidRequest, "more than one token")
	}
	return first(own) + first(agents), nil
}

// parsePinned reads a version that is not a word of ours: AWS knows no version named current or previous.
func parsePinned(s, what string) (secret.Version, error) {
	v, err := secret.ParseVersion(s)
	if s == "" || err != nil || v == secret.Current || v == secret.Previous {
		return "", fail(api.InvalidRequest, "invalid "+what)
	}
	return v, nil
}
