package lambdahttp

import (
	"context"
	"strings"
)

// called puts who AWS says has called into the context, where the event is one of a Function URL and its request shows
// nothing but a signature: who sends a token wants to be its holder. The signature is for AWS, which has verified it.
func (h *Handler) called(ctx context.Context, e event, m *message) context.Context {
	if h.config.CalledBy == nil || !e.ofFunctionURL() || !e.has("requestContext", "authorizer", "iam") {
		return ctx
	}
	shown := m.header["Authorization"]
	if len(shown) > 1 || len(shown) == 1 && !isSignature(shown[0]) {
		return ctx
	}
	delete(m.header, "Authorization")
	delete(m.header, "X-Amz-Security-Token") // which is a secret of the caller's
	iam := func(name string) string { return e.text("requestContext", "authorizer", "iam", name) }
	return h.config.CalledBy(ctx, Caller{
		Account: iam("accountId"), ARN: iam("userArn"), UserID: iam("userId"), AccessKey: iam("accessKey"),
	})
}

// ofFunctionURL reports whether the name that was called is one that Lambda gives to Function URLs. An HTTP API, which
// tells of callers in the same form, has other names: nobody has a domain below on.aws.
func (e event) ofFunctionURL() bool {
	name := e.text("requestContext", "domainName")
	id, region, ok := strings.Cut(name, ".lambda-url.")
	region, aws := strings.CutSuffix(region, ".on.aws")
	return ok && aws && id != "" && id == e.text("requestContext", "apiId") && region != "" && !strings.Contains(region, ".")
}

// isSignature reports whether an Authorization header is one of AWS's signatures, which hold commas.
func isSignature(header string) bool { return strings.HasPrefix(header, "AWS4-") }
