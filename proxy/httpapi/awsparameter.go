package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// parameter serves GET /systemsmanager/parameters/get.
func (a *AWS) parameter(w http.ResponseWriter, r *http.Request) error {
	q, err := awsQuery(r, "name", "version", "label", "withDecryption")
	if err != nil {
		return err
	}
	if q.Get("name") == "" {
		return fail(api.InvalidRequest, "missing parameter name")
	}
	decrypted, err := withDecryption(q)
	if err != nil {
		return err
	}
	n, err := parameterName(q.Get("name"))
	if err != nil {
		return err
	}
	if by := q.firstOf("version", "label"); by != "" {
		if n.selector != "" {
			return fail(api.InvalidRequest, "the name ends with a version already")
		}
		if n.selector = q.Get(by); n.selector == "" {
			return fail(api.InvalidRequest, "invalid "+by)
		}
	}
	if n.reference && !decrypted {
		return fail(api.InvalidRequest, "withDecryption must be true for a secret of Secrets Manager")
	}
	place := a.parameters
	if n.reference {
		place = a.secrets
	}
	req := proxy.ReadRequest{Version: secret.Current, At: n.at}
	if req.Path, err = under(place, n.path); err != nil {
		return err
	}
	switch {
	case n.selector == "":
	case n.reference:
		req.Version, err = staged(n.selector)
	default:
		req.Version, err = parsePinned(n.selector, "version or label")
	}
	if err != nil {
		return err
	}
	return a.read(w, r, req, func(b []byte, answer *proxy.Answer) []byte {
		return appendParameter(b, answer, n, decrypted, a.region)
	})
}

// appendParameter writes the answer. Whether the vault calls a value encrypted is not known here: Type says how it was
// asked for, so that a String is what it seems.
func appendParameter(b []byte, a *proxy.Answer, n awsName, decrypted bool, region string) []byte {
	b = slices.Grow(b, room(a)+4*maxAWSName)
	b = append(b, `{"Parameter":{"ARN":`...)
	b = jsontext.AppendString(b, n.arnIn(region, "ssm", "parameter/"))
	b = append(b, `,"DataType":"text"`...)
	if !a.CreatedAt.IsZero() {
		b = append(b, `,"LastModifiedDate":"`...)
		b = a.CreatedAt.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, '"')
	}
	b = append(b, `,"Name":`...)
	b = jsontext.AppendString(b, n.name)
	if n.selector != "" {
		b = append(b, `,"Selector":`...)
		b = jsontext.AppendString(b, ":"+n.selector)
	}
	if decrypted {
		b = append(b, `,"Type":"SecureString","Value":`...)
	} else {
		b = append(b, `,"Type":"String","Value":`...)
	}
	if isBinary(a) {
		b = appendBase64(b, a.Value)
	} else {
		b = appendText(b, a)
	}
	if v, err := strconv.ParseInt(string(a.Version), 10, 64); err == nil && v > 0 {
		b = append(b, `,"Version":`...)
		b = strconv.AppendInt(b, v, 10)
	}
	return append(b, `},"ResultMetadata":{}}`...)
}

func withDecryption(q awsParameters) (bool, error) {
	if !q.Has("withDecryption") {
		return false, nil
	}
	switch strings.ToLower(q.Get("withDecryption")) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fail(api.InvalidRequest, "invalid withDecryption value")
}
