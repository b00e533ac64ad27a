package httpapi

import (
	"net/http"
	"strconv"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

// awsError is what an error becomes in the AWS dialect. See awsErrors.
type awsError struct {
	status int
	kind   string // __type of the JSON error; "" for plain text
}

// awsErrorBody is the error of AWS's JSON protocols.
type awsErrorBody struct {
	Type    string `json:"__type"`
	Message string `json:"message,omitempty"`
}

// awsNotReady is what clients of the extension know to try again on.
const awsNotReady = "not ready to serve traffic, please wait"

// writeAWSError answers with the AWS dialect's error shapes.
func writeAWSError(w http.ResponseWriter, r *http.Request, err error) {
	e := errorOf(err)
	setAdvice(w.Header(), e)
	to, ok := awsErrors[e.Code]
	switch {
	case !ok:
		writeJSON(w, http.StatusInternalServerError, awsErrorBody{Type: "InternalFailure"})
	case to.kind == "":
		writeText(w, to.status, awsMessage(e))
	default:
		if e.Code == api.NotFound && isParameterRoute(r.URL.Path) {
			to.kind = "ParameterNotFound"
		}
		writeJSON(w, to.status, awsErrorBody{to.kind, awsMessage(e)})
	}
}

// awsMessage is the message of e, in the words of the dialect where the caller has to do something in it.
func awsMessage(e *proxy.Error) string {
	switch e.Code {
	case api.Unauthenticated:
		return "send a token in " + awsTokenHeader
	case api.NotReady:
		return awsNotReady
	}
	return e.Message
}

// writeText answers as the agent does: the bare words.
func writeText(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h["Content-Type"] = nil // or net/http would guess one
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
