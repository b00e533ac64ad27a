package httpapi

import (
	"net/http/httptest"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
)

// AWSError is how the AWS dialect answers with an error.
func AWSError(code api.Code, message string) (status int, body string) {
	w := httptest.NewRecorder()
	writeAWSError(w, httptest.NewRequest("GET", "/secretsmanager/get", nil), &proxy.Error{Code: code, Message: message})
	return w.Code, w.Body.String()
}

// SecretName is the path and the ARN of a name of Secrets Manager.
func SecretName(s string) (path, arn string, ok bool) {
	n, err := secretName(s)
	return n.path.String(), n.arnIn("r", "secretsmanager", "secret:"), err == nil
}

// ParameterName is the path and the ARN of a name of Parameter Store.
func ParameterName(s string) (path, arn string, ok bool) {
	n, err := parameterName(s)
	return n.path.String(), n.arnIn("r", "ssm", "parameter/"), err == nil
}
