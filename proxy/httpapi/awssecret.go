package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// The staging labels that every vault has a version for.
const (
	stageCurrent  = "AWSCURRENT"
	stagePrevious = "AWSPREVIOUS"
)

// secret serves GET /secretsmanager/get, with the date as the extension writes it.
func (a *AWS) secret(w http.ResponseWriter, r *http.Request) error {
	q, err := awsQuery(r, "secretId", "versionId", "versionStage", "refreshNow")
	if err != nil {
		return err
	}
	id := q.Get("secretId")
	if id == "" {
		return fail(api.InvalidRequest, "missing parameter secretId")
	}
	return a.readSecret(w, r, id, q, func(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, time.RFC3339Nano) })
}

// namedSecret serves GET /v1/{secretId}, with the date as the agent writes it: seconds since 1970, as text.
func (a *AWS) namedSecret(w http.ResponseWriter, r *http.Request, id string) error {
	q, err := awsQuery(r, "versionId", "versionStage", "refreshNow")
	if err != nil {
		return err
	}
	if id == "" {
		return fail(api.InvalidRequest, "missing secret ID")
	}
	return a.readSecret(w, r, id, q, func(b []byte, t time.Time) []byte {
		return fmt.Appendf(b, "%d.%03d", t.Unix(), t.Nanosecond()/int(time.Millisecond))
	})
}

func (a *AWS) readSecret(w http.ResponseWriter, r *http.Request, id string, q awsParameters, date func([]byte, time.Time) []byte) error {
	req := proxy.ReadRequest{Version: secret.Current}
	stage := stageCurrent
	var err error
	switch {
	case q.Has("versionId") && !q.Has("versionStage"):
		stage = ""
		req.Version, err = parsePinned(q.Get("versionId"), "versionId")
	case q.Has("versionId"): // both are to name one version
		if req.Is, err = parsePinned(q.Get("versionId"), "versionId"); err != nil {
			return err
		}
		fallthrough
	case q.Has("versionStage"):
		stage = q.Get("versionStage")
		req.Version, err = staged(stage)
	}
	if err != nil {
		return err
	}
	if req.Fresh, err = refreshNow(q); err != nil {
		return err
	}
	n, err := secretName(id)
	if err != nil {
		return err
	}
	req.At = n.at
	if req.Path, err = under(a.secrets, n.path); err != nil {
		return err
	}
	return a.read(w, r, req, func(b []byte, answer *proxy.Answer) []byte {
		b = slices.Grow(b, room(answer)+4*maxAWSName)
		b = append(b, `{"ARN":`...)
		b = jsontext.AppendString(b, n.arnIn(a.region, "secretsmanager", "secret:"))
		b = append(b, `,"Name":`...)
		b = jsontext.AppendString(b, n.name)
		b = append(b, `,"VersionId":"`...)
		b = append(b, answer.Version...)
		b = append(b, `",`...)
		b = appendContent(b, answer)
		if stage != "" {
			b = append(b, `,"VersionStages":["`...)
			b = append(b, stage...)
			b = append(b, `"]`...)
		}
		if !answer.CreatedAt.IsZero() {
			b = append(b, `,"CreatedDate":"`...)
			b = date(b, answer.CreatedAt)
			b = append(b, '"')
		}
		return append(b, '}')
	})
}

// appendContent writes SecretString, or SecretBinary where the vault has it as that or the value is no text. The buffer has
// the room already.
func appendContent(b []byte, a *proxy.Answer) []byte {
	if a.Binary || isBinary(a) {
		return appendBase64(append(b, `"SecretBinary":`...), a.Value)
	}
	b = append(b, `"SecretString":`...)
	return appendText(b, a)
}

// staged is the version that a staging label names.
func staged(stage string) (secret.Version, error) {
	switch stage {
	case stageCurrent:
		return secret.Current, nil
	case stagePrevious:
		return secret.Previous, nil
	}
	return parsePinned(stage, "versionStage")
}

func refreshNow(q awsParameters) (bool, error) {
	if !q.Has("refreshNow") {
		return false, nil
	}
	switch strings.ToLower(q.Get("refreshNow")) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, fail(api.InvalidRequest, "invalid refreshNow value")
}
