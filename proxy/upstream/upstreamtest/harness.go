// Package upstreamtest is the conformance suite of secret.Upstream. Every adapter runs it, against the real vault or a
// server that speaks for it, and says in a Harness what its vault can do. What a vault cannot do must be refused as
// the contract says; nothing is left out silently.
//
// Every value the suite stores holds Canary, and no error of an upstream may ever show it.
package upstreamtest

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Canary marks secret bytes. Fault servers put it into the bodies of their errors, where real vaults put all kinds of
// things.
const Canary = "canary-5e11f00d"

// Fault is a way for an upstream to fail. It holds from the call of Harness.Fault to the end of the test.
type Fault int

// The faults, and what Read must answer meanwhile.
const (
	Throttled    Fault = iota // asked to slow down: secret.ErrThrottled
	ServerError               // an internal error of the vault: secret.ErrUnavailable
	Denied                    // our credentials are refused, after a new login as well: secret.ErrDenied
	MissingMount              // the mount, namespace or route does not exist: secret.ErrUnavailable, not ErrNotFound
	Malformed                 // an answer that cannot be understood: any error but ErrNotFound
	Oversized                 // an answer beyond any limit: secret.ErrTooLarge or secret.ErrUnavailable
	Silent                    // no answer at all: secret.ErrTimeout when the deadline has passed
	Gateway                   // a page of HTML in the vault's place, with the status of a missing secret: secret.ErrUnavailable
	LoginRefused              // our login has ended, and a new one is refused: secret.ErrUnavailable, not ErrDenied
	LoginExpired              // our login has ended: Read logs in again and answers
)

func (f Fault) String() string {
	names := [...]string{"Throttled", "ServerError", "Denied", "MissingMount", "Malformed", "Oversized", "Silent", "Gateway", "LoginRefused", "LoginExpired"}
	if f < 0 || int(f) >= len(names) {
		return fmt.Sprintf("Fault(%d)", int(f))
	}
	return names[f]
}

// Harness tells Run how to reach an upstream and what it can do.
type Harness struct {
	// Open returns an upstream without secrets. Run closes it; a server behind it is closed by t.Cleanup.
	Open func(t *testing.T) secret.Upstream
	// Put stores a new version of a secret behind the back of the upstream that Open returned last, and returns its name,
	// "" where the vault itself has none. It may be nil when Writes is set. The secret stays the suite's.
	Put func(t *testing.T, name string, s *secret.Secret) secret.Version
	// Fault makes the upstream that Open returned last fail, until t ends. It skips t where the fault cannot be
	// made. nil: nothing can fail, as for a vault in the process itself.
	Fault func(t *testing.T, f Fault)

	Values   bool // a secret can be one opaque value
	Binary   bool // a value can be any bytes, not only UTF-8
	Fields   bool // a secret can be fields
	Metadata bool // metadata is stored and returned
	// KeepsVersions: at least the version before the current one can be read, as Previous and by its own name.
	KeepsVersions bool
	// Writes and Lists say whether the upstream is a secret.Writer and a secret.Lister.
	Writes, Lists bool
	// Deletes and Histories say whether it is a secret.Deleter and a secret.Versioner.
	Deletes, Histories bool
	// ListsDeleted: the name of a secret whose versions were all deleted stays in listings.
	ListsDeleted bool
	// MaxBytes is the largest secret that the vault takes; 0 is secret.MaxValueBytes. A value of this size is read.
	MaxBytes int
}

// Run runs the suite. Tests run one after another, each on an upstream of its own.
func Run(t *testing.T, h Harness) {
	if h.Open == nil || h.Put == nil && !h.Writes {
		t.Fatal("a harness needs Open, and Put unless the upstream writes")
	}
	if !h.Values && !h.Fields {
		t.Fatal("a harness needs Values or Fields")
	}
	if h.MaxBytes == 0 {
		h.MaxBytes = secret.MaxValueBytes
	}
	for _, part := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"Read", testRead},
		{"Versions", testVersions},
		{"Context", testContext},
		{"Close", testClose},
		{"Write", testWrite},
		{"Outbox", testOutbox},
		{"Delete", testDelete},
		{"History", testHistory},
		{"List", testList},
		{"Faults", testFaults},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, h) })
	}
}

// open returns a fresh upstream that is closed when t ends.
func open(t *testing.T, h Harness) secret.Upstream {
	t.Helper()
	u := h.Open(t)
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Errorf("closing the upstream: %v", err)
		}
	})
	return u
}

func put(t *testing.T, h Harness, u secret.Upstream, name string, s *secret.Secret) secret.Version {
	t.Helper()
	if h.Put != nil {
		return h.Put(t, name, s)
	}
	v, _, err := u.(secret.Writer).Write(t.Context(), name, secret.Write{Secret: s})
	noError(t, "storing "+name, err)
	return v
}

func read(t *testing.T, u secret.Upstream, name string, v secret.Version) *secret.Secret {
	t.Helper()
	s, err := u.Read(t.Context(), name, v)
	noError(t, fmt.Sprintf("reading %s at %s", name, v), err)
	return s
}

// simple makes a secret of the kind that the vault stores, with text in it.
func simple(h Harness, text string) *secret.Secret {
	b := []byte(Canary + " " + text)
	if h.Values {
		return &secret.Secret{Value: secret.NewValue(b)}
	}
	return &secret.Secret{Fields: []secret.Field{{Name: "text", Value: secret.NewValue(b)}}}
}

func noError(t *testing.T, doing string, err error) {
	t.Helper()
	if err != nil {
		quiet(t, err)
		t.Fatalf("%s: %v", doing, err)
	}
}

// quiet fails when an error shows secret bytes.
func quiet(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		// Base64 of a text depends on where it begins: any of three shifts, without the ends that neighbours change.
		for shift := range 3 {
			encoded := base64.StdEncoding.EncodeToString([]byte("xxx"[:shift] + Canary))
			if strings.Contains(text, encoded[4:len(encoded)-4]) {
				t.Errorf("an error shows secret bytes in base64: %s", text)
			}
		}
		if strings.Contains(text, Canary) {
			t.Errorf("an error shows secret bytes: %s", text)
		}
	}
}

// same compares what a vault stores: value or fields, and metadata where the vault has it.
func same(t *testing.T, h Harness, got, want *secret.Secret) {
	t.Helper()
	if got == nil {
		t.Fatal("got no secret and no error")
	}
	if (got.Fields == nil) != (want.Fields == nil) || len(got.Fields) != len(want.Fields) {
		t.Fatalf("got %d fields (nil: %t), want %d (nil: %t)", len(got.Fields), got.Fields == nil, len(want.Fields), want.Fields == nil)
	}
	if !got.Value.Equal(want.Value) {
		t.Errorf("got a value of %d bytes that is not the one of %d bytes stored", got.Value.Len(), want.Value.Len())
	}
	for i, f := range want.Fields {
		if got.Fields[i].Name != f.Name || !got.Fields[i].Value.Equal(f.Value) {
			t.Errorf("field %d is %q (%d bytes), want %q (%d bytes), or its value differs",
				i, got.Fields[i].Name, got.Fields[i].Value.Len(), f.Name, f.Value.Len())
		}
	}
	if h.Metadata {
		sameMetadata(t, got.Metadata, want.Metadata)
	}
}

func sameMetadata(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got metadata %q, want %q", got, want)
	}
	for k, v := range want {
		if g, ok := got[k]; !ok || g != v {
			t.Errorf("metadata %q: got %q, want %q", k, g, v)
		}
	}
}

// isVersion checks what every version and time that is returned must be.
func isVersion(t *testing.T, s *secret.Secret) {
	t.Helper()
	v, err := secret.ParseVersion(string(s.Version))
	if err != nil || s.Version == "" || v == secret.Current || v == secret.Previous {
		t.Errorf("%q is no version", s.Version)
	}
	if !s.CreatedAt.IsZero() && s.CreatedAt.Location() != time.UTC {
		t.Errorf("created_at %v is not in UTC", s.CreatedAt)
	}
}

func expired(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	t.Cleanup(cancel)
	return ctx
}
