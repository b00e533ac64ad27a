package identity

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// HookTrust is the trust of every hook's principal; its subject is the hook's name.
const HookTrust = "hook"

// Limits of hooks.
const (
	MinHookKeyBytes = 32
	MaxHookKeys     = 2 // the one that senders use and the one that they change to or from
)

// HookConfig is one hook: who holds a key of it may invalidate what its patterns match.
type HookConfig struct {
	Name  string
	Keys  [][]byte         // one or two; a line break at the end of a key is not part of it. They are copied
	Allow []secret.Pattern // at least one
	// MaxAge is how far the time of a message may be from now, before or after. 0 means 5 min.
	MaxAge time.Duration
}

// HookMessage is what arrived at a hook: nothing of it is to be believed.
type HookMessage struct {
	Name      string
	Timestamp string // Unix seconds, decimal
	Signature string // HMAC-SHA256 of Timestamp "." Body, 64 lower-case hexadecimal digits
	Body      []byte
}

// Hooks verifies messages. It is immutable.
type Hooks struct{ byName map[string]*hook }

type hook struct {
	keys   [][]byte
	scopes policy.Scopes
	maxAge time.Duration
}

// NewHooks validates the hooks. Two hooks never share a key: a message for one would be a message for the other.
func NewHooks(configs []HookConfig) (*Hooks, error) {
	h := &Hooks{byName: make(map[string]*hook, len(configs))}
	seen := map[[sha256.Size]byte]string{}
	for _, c := range configs {
		switch {
		case c.Name == "" || h.byName[c.Name] != nil:
			return nil, fmt.Errorf("hook %q: the name is empty or taken", c.Name)
		case len(c.Keys) == 0 || len(c.Keys) > MaxHookKeys:
			return nil, fmt.Errorf("hook %s: want one key or two", c.Name)
		case len(c.Allow) == 0 || len(c.Allow) > policy.MaxScopes:
			return nil, fmt.Errorf("hook %s: want 1 to %d patterns of what it may invalidate", c.Name, policy.MaxScopes)
		case c.MaxAge < 0:
			return nil, fmt.Errorf("hook %s: the greatest age must not be negative", c.Name)
		case c.MaxAge == 0:
			c.MaxAge = 5 * time.Minute
		}
		k := &hook{maxAge: c.MaxAge}
		for _, p := range c.Allow {
			k.scopes = append(k.scopes, policy.Scope{Action: policy.Invalidate, Pattern: p})
		}
		for _, key := range c.Keys {
			key = bytes.TrimSuffix(bytes.TrimSuffix(key, []byte("\n")), []byte("\r"))
			if len(key) < MinHookKeyBytes {
				return nil, fmt.Errorf("hook %s: a key is shorter than %d bytes; make one with: openssl rand -hex 32", c.Name, MinHookKeyBytes)
			}
			digest := sha256.Sum256(key)
			if other, taken := seen[digest]; taken {
				return nil, fmt.Errorf("hook %s: a key is that of hook %s as well, or the same twice; make another", c.Name, other)
			}
			seen[digest] = c.Name
			k.keys = append(k.keys, bytes.Clone(key))
		}
		h.byName[c.Name] = k
	}
	return h, nil
}

// Verify says for whom the message speaks. Its errors wrap ErrInvalid or, for a message that was good at another time,
// ErrExpired. They do not tell whether there is a hook of that name, and nor does the time it takes. That a message is
// taken once only is for Replays to see to.
func (h *Hooks) Verify(m *HookMessage, now time.Time) (*Verified, error) {
	k := noHook
	if found := h.byName[m.Name]; found != nil {
		k = found
	}
	given, err := hex.DecodeString(m.Signature)
	if err != nil || hex.EncodeToString(given) != m.Signature || len(given) != sha256.Size {
		return nil, invalid("the signature is not 64 lower-case hexadecimal digits")
	}
	good := 0
	for i := range MaxHookKeys { // as many for every name, whatever keys it has
		mac := hmac.New(sha256.New, k.keys[min(i, len(k.keys)-1)])
		mac.Write([]byte(m.Timestamp))
		mac.Write([]byte("."))
		mac.Write(m.Body)
		good |= subtle.ConstantTimeCompare(mac.Sum(nil), given)
	}
	if good == 0 || len(k.scopes) == 0 {
		return nil, invalid("the signature is not that of a key of this hook")
	}
	seconds, err := strconv.ParseInt(m.Timestamp, 10, 64)
	if err != nil || seconds < 0 || seconds > maxHookTime || strconv.FormatInt(seconds, 10) != m.Timestamp {
		return nil, invalid("the timestamp is not a number of Unix seconds")
	}
	at := time.Unix(seconds, 0).UTC()
	if age := now.Sub(at); age > k.maxAge || age < -k.maxAge {
		return nil, fmt.Errorf("%w: the message is not from the last %v", ErrExpired, k.maxAge)
	}
	return &Verified{
		Principal: policy.Principal{
			Trust: HookTrust, Subject: m.Name, TokenID: "sha256:" + hex.EncodeToString(hashed(given)), AuthenticatedBy: "hook",
			Scopes: k.scopes, Expires: at.Add(k.maxAge),
		},
		IssuedAt: at, NotBefore: at.Add(-k.maxAge),
	}, nil
}

// maxHookTime is the last second of the year 9999.
const maxHookTime = 253402300799

// noHook is asked in place of one that does not exist, so that both take as long. Nothing makes a signature good for it.
var noHook = &hook{keys: [][]byte{make([]byte, MinHookKeyBytes)}}

// hashed is what a record may say of a signature.
func hashed(signature []byte) []byte {
	digest := sha256.Sum256(signature)
	return digest[:16]
}
