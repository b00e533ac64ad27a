package lambdahttp

import "net/http"

// Answer is what an API writes to.
type Answer = answer

// NewAnswer is an empty Answer.
func NewAnswer() *Answer { return &answer{header: http.Header{}} }

// Held is the bytes that w holds, and not a copy of them.
func Held(w *Answer) []byte { return w.body }

// Wipe ends w.
func Wipe(w *Answer) { w.wipe() }
