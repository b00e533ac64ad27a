package policies_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"sort"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/policies"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/wasm"
)

// vector is one decision: a request in the words of the json encoding, the policy's data, and what must come out of the
// host. Members that are left out are empty.
type vector struct {
	Name    string
	Data    json.RawMessage
	Request struct {
		Action    string
		Secret    struct{ Path string }
		Labels    map[string]string
		Principal struct {
			Trust  string
			Scopes string
			Claims map[string]string
		}
		Context struct {
			Time     time.Time
			SourceIP string `json:"source_ip"`
		}
	}
	Want struct {
		Effect, Rule, Reason string
		Obligations          *struct {
			Approvers []string
			N         int
			MaxTTL    int `json:"max_ttl"` // seconds
		}
	}
}

func pairs(m map[string]string) []policy.Pair {
	var out []policy.Pair
	for k, v := range m {
		out = append(out, policy.Pair{Name: k, Value: v})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func (v *vector) request(t *testing.T) *policy.Request {
	t.Helper()
	path, err := secret.ParsePath(v.Request.Secret.Path)
	if err != nil {
		t.Fatal(err)
	}
	scopes, err := policy.ParseScopes(v.Request.Principal.Scopes)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Request{
		Action: policy.Action(v.Request.Action), Path: path, Labels: pairs(v.Request.Labels),
		Principal: &policy.Principal{Trust: v.Request.Principal.Trust, Scopes: scopes, Claims: pairs(v.Request.Principal.Claims)},
		Context:   policy.Context{Time: v.Request.Context.Time, SourceIP: v.Request.Context.SourceIP},
	}
}

func (v *vector) want() policy.Decision {
	d := policy.Decision{Rule: v.Want.Rule, Reason: v.Want.Reason, Effect: map[string]policy.Effect{
		"deny": policy.Deny, "allow": policy.Allow, "require_approval": policy.RequireApproval,
	}[v.Want.Effect]}
	if o := v.Want.Obligations; o != nil {
		d.Obligations = policy.Obligations{Approvers: o.Approvers, N: o.N, MaxTTL: time.Duration(o.MaxTTL) * time.Second}
	}
	return d
}

// load loads one policy into the host.
func load(t *testing.T, module, data []byte) *wasm.Chain {
	t.Helper()
	ctx := context.Background()
	chain, err := wasm.New(ctx, wasm.Config{Modules: []wasm.Module{{Wasm: module, Data: data}}, MaxInstances: 1, Native: proxytest.Native(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chain.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return chain
}

func same(a, b policy.Decision) bool {
	a.Digest, b.Digest = "", ""
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func readVectors(t *testing.T, name string) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVectors(t *testing.T) {
	for _, name := range policies.Names() {
		module := builtin(t, name)
		vectors := readVectors(t, name)
		if len(vectors) == 0 {
			t.Errorf("%s has no vectors", name)
		}
		chains := map[string]*wasm.Chain{} // by data: loading is what takes time here
		for _, v := range vectors {
			chain := chains[string(v.Data)]
			if chain == nil {
				chain = load(t, module, v.Data)
				chains[string(v.Data)] = chain
			}
			t.Run(name+"/"+v.Name, func(t *testing.T) {
				got, want := chain.Authorize(t.Context(), v.request(t)), v.want()
				if !same(got, want) {
					t.Errorf("got %+v\nwant %+v", got, want)
				}
			})
		}
	}
}

// The json guest of the benchmarks gives the answers of scope.
func TestScopeVectorsOverJSON(t *testing.T) {
	chain := load(t, jsonGuest(t), nil)
	for _, v := range readVectors(t, "scope") {
		want := v.want()
		want.Rule = "scope-json" + want.Rule[len("scope"):]
		if got := chain.Authorize(t.Context(), v.request(t)); !same(got, want) {
			t.Errorf("%s: got %+v, want %+v", v.Name, got, want)
		}
	}
}
