// Package awsemu is an emulator of what Keyhole asks of AWS: Secrets Manager, Systems Manager Parameter Store, Data Firehose
// and AssumeRole of STS, in the words of their API references. It verifies signatures as AWS does, by signing once more with
// AWS's own signer, and takes no request with a member that it does not know. Storing is done by calling its methods.
package awsemu

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Who and where the emulator is to begin with.
const (
	AccessKey = "AKIDEMULATOREXAMPLE"
	SecretKey = "emulator/secret/key"
	Region    = "eu-west-1"
	Account   = "123456789012"
)

// Call is one request that was signed well.
type Call struct {
	Action    string // as in policies: "ssm:GetParameter"
	Region    string // of the signature
	Principal string // access key of a user, or ARN of an assumed role
	Resource  string // the name that was asked for; "*" where there is none
}

// Exchange is a request of the JSON protocol and its answer, as they were on the wire.
type Exchange struct {
	Service, Operation string
	Status             int
	Input, Output      json.RawMessage
}

// Server is the emulator. The zero value works; it is safe for concurrent use.
type Server struct {
	mu          sync.Mutex
	wall        func() time.Time // nil is time.Now
	batchPage   int              // 0: no limit
	roles       map[string]Role
	sessions    map[string]*issued // by access key
	secrets     map[place]*stored
	parameters  map[place]*parameter
	streams     map[place][][]byte // of Firehose
	numbers     int                // of whatever needs a name of its own
	calls       []Call
	exchanges   []Exchange
	deny        func(Call) bool
	interpose   func(http.ResponseWriter, *http.Request, string) bool
	roleRefused bool
	federation  Federation
	only        string                 // region, "" for every one
	key         string                 // ARN of the KMS key of all values, "" for AWS's own
	policies    map[string][]Statement // by principal
}

// place names what is stored: in AWS, each region is by itself.
type place struct{ region, name string }

// Start serves on loopback until t ends.
func Start(t testing.TB) (*Server, string) {
	t.Helper()
	s := &Server{}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL
}

// SetWall gives the emulator another clock than time.Now.
func (s *Server) SetWall(wall func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wall = wall
}

// SetBatchPage sets the most secrets in one answer of BatchGetSecretValue.
func (s *Server) SetBatchPage(most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batchPage = most
}

func (s *Server) nowLocked() time.Time {
	if s.wall == nil {
		return time.Now()
	}
	return s.wall()
}

// Interpose lets f stand in the way: it is given each request and its action ("ssm:GetParameter"), before the signature
// is looked at, and says whether it has answered. nil takes it away.
func (s *Server) Interpose(f func(w http.ResponseWriter, r *http.Request, action string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interpose = f
}

// Deny refuses the calls that f says. nil refuses none.
func (s *Server) Deny(f func(Call) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deny = f
}

// Calls returns the calls since it was last called.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.calls
	s.calls = nil
	return out
}

// Exchanges returns all exchanges of the JSON protocol so far.
func (s *Server) Exchanges() []Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Exchange(nil), s.exchanges...)
}

// failure is an error of AWS.
type failure struct {
	status        int
	code, message string
}

// operation answers one action of the JSON protocol.
type operation func(s *Server, who identity, body []byte, may func(resource string) *failure) (any, *failure)

func operations() map[string]operation {
	return map[string]operation{
		"secretsmanager.GetSecretValue":       (*Server).getSecretValue,
		"secretsmanager.BatchGetSecretValue":  (*Server).batchGetSecretValue,
		"secretsmanager.ListSecrets":          (*Server).listSecrets,
		"secretsmanager.ListSecretVersionIds": (*Server).listSecretVersionIDs,
		"AmazonSSM.GetParameter":              (*Server).getParameter,
		"AmazonSSM.GetParameters":             (*Server).getParameters,
		"AmazonSSM.GetParameterHistory":       (*Server).getParameterHistory,
		"AmazonSSM.DescribeParameters":        (*Server).describeParameters,
		"Firehose_20150804.PutRecord":         (*Server).putRecord,
	}
}

// ServeHTTP answers as AWS does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	target := r.Header.Get("X-Amz-Target")
	prefix, name, _ := strings.Cut(target, ".")
	service := map[string]string{"secretsmanager": "secretsmanager", "AmazonSSM": "ssm", "Firehose_20150804": "firehose", "": "sts"}[prefix]
	if target == "" {
		name = formAction(body)
	}
	action := service + ":" + name
	s.mu.Lock()
	interpose := s.interpose
	s.mu.Unlock()
	if interpose != nil && interpose(w, r, action) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Date", s.nowLocked().UTC().Format(http.TimeFormat))
	signed, fail := s.verifyLocked(r, body, service)
	if service == "sts" {
		s.stsLocked(w, body, signed, fail)
		return
	}
	op := operations()[target]
	if fail == nil && op == nil {
		fail = &failure{http.StatusBadRequest, "UnknownOperationException", ""}
	}
	if fail == nil && r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		fail = &failure{http.StatusBadRequest, "SerializationException", ""}
	}
	var answer any
	if fail == nil {
		answer, fail = op(s, signed, body, func(resource string) *failure {
			return s.allowLocked(Call{action, signed.region, signed.principal, resource})
		})
	}
	status := http.StatusOK
	if fail != nil {
		status = fail.status
		// The services write their errors in different ways, of which clients take all.
		answer = map[string]string{"__type": fail.code, "Message": fail.message}
		if service == "ssm" {
			answer = map[string]string{"__type": "com.amazonaws.ssm#" + fail.code, "message": fail.message}
		}
	}
	out, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	s.exchanges = append(s.exchanges, Exchange{service, name, status, body, out})
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = w.Write(out)
}

// allowLocked notes a call and says whether it is refused.
func (s *Server) allowLocked(c Call) *failure {
	s.calls = append(s.calls, c)
	if s.deny != nil && s.deny(c) {
		return refusal(c, c.Resource)
	}
	return s.permittedLocked(c)
}

// read takes a request apart. Members that are not known are an error.
func read(body []byte, into any) *failure {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &failure{http.StatusBadRequest, "SerializationException", err.Error()}
	}
	return nil
}

// invalid is what AWS answers to a request that breaks its model.
func invalid(message string) *failure {
	return &failure{http.StatusBadRequest, "ValidationException", message}
}

// seconds is a time as the JSON protocol writes it.
func seconds(t time.Time) json.Number {
	return json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64))
}

// page cuts the part of n entries that a token stands for; next is "" at the end. A token is the place where it begins.
func page(n, size int, token string) (from, to int, next string, fail *failure) {
	if token != "" {
		var err error
		if from, err = strconv.Atoi(token); err != nil || from < 1 || from > n {
			return 0, 0, "", &failure{http.StatusBadRequest, "InvalidNextTokenException", "the token is invalid"}
		}
	}
	to = min(n, from+size)
	if to < n {
		next = strconv.Itoa(to)
	}
	return from, to, next, nil
}
