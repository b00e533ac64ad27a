package sim_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/audit/audittest"
	"github.com/keyhole-edge/keyhole/proxy/cache"
	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/state"
	"github.com/keyhole-edge/keyhole/proxy/upstream/embedded"
)

// call is one operation on a secret, and result how it ended.
type call struct {
	op    string // get | write | replace | delete | rollback
	path  string
	value string
	from  int // replace: the version that must be current; rollback: the version to restore
}

type result struct {
	version int
	value   string
	code    api.Code // "" for success
}

// object is one secret as the model sees it: the last version given, and the values of those that still exist.
type object struct {
	last   int
	values string // joined by commas, the newest last
}

func (o object) value(version int) (string, bool) {
	if o.values == "" {
		return "", false
	}
	all := strings.Split(o.values, ",")
	i := len(all) - 1 - (o.last - version)
	if i < 0 || i >= len(all) {
		return "", false
	}
	return all[i], true
}

func (o object) with(value string) object {
	return object{o.last + 1, strings.TrimPrefix(o.values+","+value, ",")}
}

// stepObject says whether an operation may end so, and what the secret is then.
func stepObject(o object, c call, r result) (bool, object) {
	current, exists := o.value(o.last)
	switch c.op {
	case "get":
		if r.code == api.NotFound {
			return !exists, o
		}
		return exists && r.version == o.last && r.value == current, o
	case "delete":
		return r.code == "", object{last: o.last}
	case "replace":
		if r.code == api.VersionConflict {
			return !exists || o.last != c.from, o
		}
		return exists && o.last == c.from && r.version == o.last+1, o.with(c.value)
	case "rollback":
		old, ok := o.value(c.from)
		switch r.code {
		case api.VersionConflict:
			return true, o // somebody wrote in between
		case api.NotFound:
			return !ok, o
		}
		return ok && r.version == o.last+1, o.with(old)
	}
	return r.version == o.last+1, o.with(c.value)
}

var histories = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[string][]porcupine.Operation{}
		for _, op := range history {
			path := op.Input.(call).path
			parts[path] = append(parts[path], op)
		}
		var out [][]porcupine.Operation
		for _, p := range parts {
			out = append(out, p)
		}
		return out
	},
	Init: func() any { return object{} },
	Step: func(s, in, out any) (bool, any) { return stepObject(s.(object), in.(call), out.(result)) },
	DescribeOperation: func(in, out any) string {
		return fmt.Sprintf("%+v -> %+v", in, out)
	},
}

// allow is a policy without objections.
type allow struct{}

func (allow) Authorize(context.Context, *policy.Request) policy.Decision {
	return policy.Decision{Effect: policy.Allow, Rule: "allow", Digest: allow{}.Digest()}
}

func (allow) Digest() string { return "sha256:" + strings.Repeat("0", 64) }

// newNode is a node over a real vault, and a call that may everything.
func newNode(t *testing.T, entries int) (*proxy.Proxy, *proxy.Call) {
	t.Helper()
	k, err := makeKeys()
	must(t, err)
	v, err := embedded.Open(embedded.Config{Path: filepath.Join(t.TempDir(), "vault.db"), Key: make([]byte, embedded.KeyBytes)})
	must(t, err)
	store, err := state.NewMemory(state.MemoryConfig{})
	must(t, err)
	log, err := audit.New(audit.Config{Sink: &audittest.Memory{}, Key: k.audit})
	must(t, err)
	values, err := cache.New(cache.Config{Entries: entries})
	must(t, err)
	verifier, err := identity.New(identity.Config{Issuer: issuer, Audience: issuer, Keys: k.set})
	must(t, err)
	ttl := cache.TTL{Soft: 20 * time.Millisecond, Hard: time.Minute, Stale: time.Hour, Negative: time.Minute}
	p, err := proxy.New(proxy.Config{
		Rules: proxy.Rules{Verifier: verifier, Authorizer: allow{}}, Cache: values, State: store, Audit: log,
		Mounts: []proxy.Mount{{Path: mustPath("m"), Upstream: v, UpstreamName: "v", At: "m", TTL: ttl}},
	})
	must(t, err)
	t.Cleanup(func() { must(t, p.Close(), values.Close(), log.Close(), store.Close(), v.Close()) })
	must(t, p.Start(t.Context()))
	scopes, err := policy.ParseScopes("read:** write:**")
	must(t, err)
	now := time.Now()
	token, err := k.signer.Sign(identity.Claims{
		Subject: "app", ClientID: "sim", TokenID: "t", Scopes: scopes, Trust: "local", OriginIssuer: issuer, IssuedAt: now, Expires: now.Add(time.Hour),
	})
	must(t, err)
	return p, &proxy.Call{Token: token, Surface: "sim", SourceIP: "192.0.2.1"}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// perform makes the call.
func perform(ctx context.Context, p *proxy.Proxy, who *proxy.Call, c call) (result, error) {
	path := mustPath(c.path)
	var r result
	var err error
	var w proxy.Written
	switch c.op {
	case "get":
		var a proxy.Answer
		if a, err = p.Read(ctx, who, proxy.ReadRequest{Path: path}); err == nil {
			r = result{version: number(a.Version), value: string(a.Value.Reveal())}
			a.Release()
		}
	case "delete":
		_, err = p.Delete(ctx, who, path)
	case "rollback":
		w, err = p.Rollback(ctx, who, path, secret.Version(fmt.Sprint(c.from)))
		r.version = number(w.Version)
	default:
		write := secret.Write{Secret: &secret.Secret{Value: secret.NewValue([]byte(c.value))}}
		if c.op == "replace" {
			write.IfVersion = secret.Version(fmt.Sprint(c.from))
		}
		w, err = p.Write(ctx, who, path, write)
		r.version = number(w.Version)
	}
	if e := (*proxy.Error)(nil); errors.As(err, &e) {
		return result{code: e.Code}, nil
	}
	return r, err
}

// Reads and writes of many callers at once, through one node and its cache, can be put into one order that explains them
// all: in particular, who reads after a write was acknowledged never sees what was before.
func TestHistoriesAreLinearizable(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		p, who := newNode(t, []int{1, 100}[round%2])
		var clock atomic.Int64
		var mu sync.Mutex
		var history []porcupine.Operation
		var wg sync.WaitGroup
		for client := range 5 {
			r := rand.New(rand.NewPCG(uint64(round), uint64(client)))
			wg.Go(func() {
				for n := range 14 {
					c := call{
						op:    []string{"get", "get", "get", "get", "write", "write", "replace", "delete", "rollback"}[r.IntN(9)],
						path:  []string{"m/a", "m/a", "m/b"}[r.IntN(3)],
						value: fmt.Sprintf("v%d.%d", client, n), from: 1 + r.IntN(4+n/2),
					}
					op := porcupine.Operation{ClientId: client, Input: c, Call: clock.Add(1)}
					out, err := perform(t.Context(), p, who, c)
					op.Return, op.Output = clock.Add(1), out
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					history = append(history, op)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if got := porcupine.CheckOperationsTimeout(histories, history, time.Minute); got != porcupine.Ok {
			for _, op := range history {
				t.Logf("%3d..%3d client %d %s", op.Call, op.Return, op.ClientId, histories.DescribeOperation(op.Input, op.Output))
			}
			t.Fatalf("round %d: the history is %s", round, got)
		}
	}
}
