package awsjson

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/wire"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

var (
	// ErrLogin: AWS does not take our credentials, there are none, or a role cannot be assumed. It tells nothing about any
	// secret. It is a kind of secret.ErrUnavailable.
	ErrLogin = fmt.Errorf("%w: the AWS credentials", secret.ErrUnavailable)
	// ErrClock: the clock of this machine and that of AWS differ too much for a signature. Set the clock. It is a kind of
	// secret.ErrUnavailable.
	ErrClock = fmt.Errorf("%w: the clock of this machine is wrong", secret.ErrUnavailable)
	// ErrMalformed: an answer is not what AWS answers, such as the page of a gateway, or one that is cut short. Check the
	// endpoint. It is a kind of secret.ErrUnavailable.
	ErrMalformed = fmt.Errorf("%w: the answer is not one of AWS", secret.ErrUnavailable)
	// ErrRequest: AWS does not accept the request as a whole, for what stands in it. It is a kind of secret.ErrUnreadable.
	ErrRequest = fmt.Errorf("%w: it does not accept the request", secret.ErrUnreadable)
	// ErrOperation: what answers has no such action, as some emulators of AWS lack the younger ones. It is a kind of
	// secret.ErrUnavailable.
	ErrOperation = fmt.Errorf("%w: it has no such action", secret.ErrUnavailable)
	// ErrConflict: the condition of the request does not hold. What it asked for was not done.
	ErrConflict = errors.New("the condition does not hold: something else is stored there")
	// ErrClosed: Close was called. It is a kind of secret.ErrUnavailable.
	ErrClosed = wire.ErrClosed
)

// maxSkew is what signatures allow the two clocks to differ by.
const maxSkew = 5 * time.Minute

// Explain is the error that AWS means by the name and the message of one.
//
// The names are those of the API references of Secrets Manager, Systems Manager, STS, DynamoDB and Firehose, and of their lists of common
// errors, which write some of them with and some without "Exception".
func Explain(code, message string) error {
	switch strings.TrimSuffix(code, "Exception") {
	case "ResourceNotFound", "ParameterNotFound", "ParameterVersionNotFound":
		return secret.ErrNotFound
	case "InvalidRequest":
		// Secrets Manager says so of a secret that waits for its deletion, and of much else.
		if strings.Contains(message, "marked for deletion") || strings.Contains(message, "scheduled for deletion") || strings.Contains(message, "marked deleted") {
			return fmt.Errorf("%w: it is to be deleted", secret.ErrNotFound)
		}
		return fmt.Errorf("%w (%s)", ErrRequest, word(code))
	case "AccessDenied", "KMSAccessDenied", "NotAuthorized", "UnauthorizedOperation":
		return fmt.Errorf("%w (%s)", secret.ErrDenied, word(code))
	case "Throttling", "Throttled", "RequestThrottled", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "ProvisionedThroughputExceeded":
		return fmt.Errorf("%w (%s)", secret.ErrThrottled, word(code))
	case "ExpiredToken", "RequestExpired", "UnrecognizedClient", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidToken",
		"TokenRefreshRequired", "IncompleteSignature", "MissingAuthenticationToken", "SignatureDoesNotMatch", "InvalidSignature", "AuthFailure":
		return fmt.Errorf("%w are not taken (%s)", ErrLogin, word(code))
	case "DecryptionFailure", "InvalidKeyId", "KMSDisabled", "KMSInvalidState", "KMSNotFound":
		return fmt.Errorf("%w: it cannot decrypt it; look at the state of its KMS key (%s)", secret.ErrUnreadable, word(code))
	case "UnknownOperation":
		return fmt.Errorf("%w (%s)", ErrOperation, word(code))
	case "ConditionalCheckFailed":
		return ErrConflict
	case "Validation", "InvalidParameter", "InvalidParameterValue", "SerializationException", "ValidationError":
		return fmt.Errorf("%w (%s)", ErrRequest, word(code))
	}
	return fmt.Errorf("%w (%s)", secret.ErrUnavailable, word(code))
}

// Refused reports whether AWS refused a request for what was asked or for who asked, so that the same for less may be
// allowed.
func Refused(err error) bool {
	return errors.Is(err, secret.ErrDenied) || errors.Is(err, ErrRequest) || errors.Is(err, ErrOperation)
}

// word is the name of an error, if it is nothing else.
func word(code string) string {
	if code == "" || len(code) > 64 || strings.ContainsFunc(code, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }) {
		return "unnamed"
	}
	return code
}

// failure is the error that an answer other than 200 means.
func failure(a *wire.Answer, code, message string, now time.Time) error {
	switch {
	case 300 <= a.Status && a.Status < 400:
		return fmt.Errorf("%w: it sends elsewhere (%d); set the endpoint itself", secret.ErrUnavailable, a.Status)
	case code == "" && a.Status == http.StatusTooManyRequests:
		return secret.ErrThrottled
	case a.Status == http.StatusNotImplemented:
		return fmt.Errorf("%w: it answered %d", ErrOperation, a.Status)
	case code == "" && a.Status >= 500:
		return fmt.Errorf("%w: it answered %d", secret.ErrUnavailable, a.Status)
	case code == "":
		return fmt.Errorf("%w: status %d", ErrMalformed, a.Status)
	case a.Status >= 500:
		return fmt.Errorf("%w: it answered %d (%s)", secret.ErrUnavailable, a.Status, word(code))
	}
	err := Explain(code, message)
	if errors.Is(err, ErrLogin) || strings.HasPrefix(code, "RequestTimeTooSkewed") || strings.HasPrefix(code, "RequestInTheFuture") {
		if skew := skew(a, now); skew > maxSkew || skew < -maxSkew {
			return fmt.Errorf("%w: it differs from that of AWS by %v", ErrClock, skew)
		}
	}
	return err
}

// skew is how far our clock is ahead of the one that answered, by the Date of the answer.
func skew(a *wire.Answer, now time.Time) time.Duration {
	date, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		return 0
	}
	return now.Round(0).Sub(date).Truncate(time.Second)
}

// jsonError finds the error in the header or in the body, where its name follows a namespace.
func jsonError(a *wire.Answer) (code, message string) {
	root, err := strictjson.Parse(a.Body, strictjson.Limits{ExactNames: true})
	if err != nil || root.Kind != strictjson.Object {
		return "", ""
	}
	code, _, _ = strings.Cut(a.Header.Get("X-Amzn-Errortype"), ":")
	if t, ok := root.Get("__type").Str(); ok {
		code = t
	}
	code = code[strings.LastIndexByte(code, '#')+1:]
	for _, name := range []string{"message", "Message"} {
		if m, ok := root.Get(name).Str(); ok {
			message = m
		}
	}
	return code, message
}
