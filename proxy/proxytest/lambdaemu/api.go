package lambdaemu

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// truncated is an answer whose connection was closed before its end.
const truncated = "Truncated"

const functionARN = "arn:aws:lambda:eu-west-1:123456789012:function:keyhole"

func (e *Environment) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /2018-06-01/runtime/invocation/next", e.next)
	m.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", e.response)
	m.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", e.failure)
	m.HandleFunc("POST /2018-06-01/runtime/init/error", e.initFailure)
	m.HandleFunc("POST /2020-01-01/extension/register", e.register)
	m.HandleFunc("GET /2020-01-01/extension/event/next", e.event)
	m.HandleFunc("POST /2020-01-01/extension/init/error", e.extensionFailure(true))
	m.HandleFunc("POST /2020-01-01/extension/exit/error", e.extensionFailure(false))
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { e.refuse(w, r, http.StatusNotFound, "NotFound") })
	return m
}

// refuse is the APIs' error, which is remembered unless the process has ended, or was told to in the middle of an answer:
// what it said last comes to nothing.
func (e *Environment) refuse(w http.ResponseWriter, r *http.Request, status int, kind string) {
	select {
	case <-e.exited:
	default:
		e.mu.Lock()
		if !e.killed && (!e.ending || kind != truncated) {
			e.unaccounted = append(e.unaccounted, r.Method+" "+r.URL.Path+": "+kind)
		}
		e.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorType": kind, "errorMessage": kind})
}

func accepted(w http.ResponseWriter) {
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

// next blocks until there is an event: for a process that is frozen, as long as that lasts.
func (e *Environment) next(w http.ResponseWriter, r *http.Request) {
	e.once.Do(func() {
		e.mu.Lock()
		e.readyAt = time.Now()
		e.mu.Unlock()
		close(e.ready)
	})
	select {
	case <-r.Context().Done():
	case in := <-e.queue:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", in.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(in.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", functionARN)
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0")
		_, _ = w.Write(in.payload)
	}
}

// response takes an answer. An error while it was sent, which is in the trailers, takes its place.
func (e *Environment) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxAnswerBytes+1))
	id := r.PathValue("id")
	switch kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); {
	case err != nil:
		e.refuse(w, r, http.StatusBadRequest, truncated)
		return
	case len(body) > MaxAnswerBytes:
		e.finish(id, nil, ErrTooLarge)
		e.refuse(w, r, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge")
		return
	case kind != "":
		text, _ := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		err = &FunctionError{Type: kind, Body: string(text)}
	}
	if err != nil {
		body = nil
	}
	if !e.finish(id, body, err) {
		e.refuse(w, r, http.StatusBadRequest, "InvalidRequestID")
		return
	}
	accepted(w)
}

func (e *Environment) failure(w http.ResponseWriter, r *http.Request) {
	if !e.finish(r.PathValue("id"), nil, functionError(r)) {
		e.refuse(w, r, http.StatusBadRequest, "InvalidRequestID")
		return
	}
	accepted(w)
}

func (e *Environment) initFailure(w http.ResponseWriter, r *http.Request) {
	select {
	case <-e.ready:
		e.refuse(w, r, http.StatusForbidden, "InvalidStateTransition")
		return
	default:
	}
	err := functionError(r)
	e.mu.Lock()
	e.initError = err
	e.mu.Unlock()
	accepted(w)
}

func functionError(r *http.Request) *FunctionError {
	return errorFrom(r, "Lambda-Runtime-Function-Error-Type")
}

func extensionError(r *http.Request) *FunctionError {
	return errorFrom(r, "Lambda-Extension-Function-Error-Type")
}

func errorFrom(r *http.Request, header string) *FunctionError {
	body, _ := io.ReadAll(io.LimitReader(r.Body, MaxAnswerBytes))
	return &FunctionError{Type: r.Header.Get(header), Body: string(body)}
}

// register takes an extension beside the runtime under the name of its file, and one inside it under another, whose only
// use is that the runtime is sent SIGTERM: it may ask for no event of SHUTDOWN.
func (e *Environment) register(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Events []string `json:"events"`
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	name := r.Header.Get("Lambda-Extension-Name")
	if x := e.find(func(x *Extension) bool { return x.name == name }); x != nil && err == nil {
		if !x.registerBeside(time.Since(e.started), in.Events) {
			e.refuse(w, r, http.StatusBadRequest, "Extension.InvalidRequest")
			return
		}
		w.Header().Set("Lambda-Extension-Identifier", x.id)
		_, _ = io.WriteString(w, `{"functionName":"keyhole","functionVersion":"$LATEST","handler":"bootstrap","accountId":"123456789012"}`)
		return
	}
	if err != nil || name == "" || len(in.Events) > 0 {
		e.refuse(w, r, http.StatusBadRequest, "Extension.InvalidRequest")
		return
	}
	e.mu.Lock()
	e.extension = true
	e.mu.Unlock()
	w.Header().Set("Lambda-Extension-Identifier", "c8a4d0a5-0000-4000-8000-000000000001")
	_, _ = io.WriteString(w, `{"functionName":"keyhole","functionVersion":"$LATEST","handler":"bootstrap"}`)
}

// event has nothing to tell to who asked for no events.
func (e *Environment) event(w http.ResponseWriter, r *http.Request) {
	if x := e.caller(r); x != nil {
		x.eventBeside(w, r)
		return
	}
	if r.Header.Get("Lambda-Extension-Identifier") == "" {
		e.refuse(w, r, http.StatusForbidden, "Extension.UnknownExtensionIdentifier")
		return
	}
	<-r.Context().Done()
}
