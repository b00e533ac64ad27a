package wasm

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/wasm/internal/meter"
)

// What tests reach beyond the exported names.

type Result struct {
	Effect            policy.Effect
	Code              uint16
	Detail, Cacheable bool
	TTL               uint32
}

func DecodeResult(w uint64) (Result, error) {
	r, err := decodeResult(w)
	return Result{r.effect, r.code, r.detail, r.cacheable, r.ttl}, err
}

func ParseDetail(data []byte) (reason, rule string, o *policy.Obligations, err error) {
	d, err := parseDetail(data)
	return d.reason, d.rule, d.obligations, err
}

func ParseManifest(data []byte) error {
	_, err := parseManifest(data)
	return err
}

// Encode projects and encodes a request as a policy with these inputs would get it.
func Encode(encoding string, inputs []string, time bool, r *policy.Request) ([]byte, bool) {
	var p projection
	p.time = time
	for _, in := range inputs {
		if err := p.declare(in); err != nil {
			panic(err)
		}
	}
	if encoding == "json" {
		return p.appendJSON(nil, r)
	}
	return p.appendFlat1(nil, r)
}

// Interpret makes the engine where no compiler is to be had.
func Interpret(ctx context.Context, log *slog.Logger) (wazero.Runtime, error) {
	r, interpreter, err := newEngine(ctx, func(context.Context) (wazero.Runtime, error) {
		return nil, errors.New("executable memory refused")
	}, log)
	if err == nil && !interpreter {
		err = errors.New("the engine is not said to be the interpreter")
	}
	return r, err
}

// Hold takes n instances of the first policy out of its pool until the returned function is called.
func (c *Chain) Hold(n int) (release func(), err error) {
	p := c.policies[0].pool
	var held []*instance
	release = func() {
		for _, in := range held {
			p.put(in, true)
		}
	}
	for range n {
		in, err := p.get(context.Background())
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, in)
	}
	return release, nil
}

// Idle is the number of instances in the pool of the first policy.
func (c *Chain) Idle() int {
	p := c.policies[0].pool
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.free)
}

// Registered is the number of live instances that the host can call back for.
func (c *Chain) Registered() int {
	r := c.policies[0].live
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.instances)
}

// Patient makes decisions wait for an instance as long as it takes, where a busy machine must not decide a test.
func (c *Chain) Patient() {
	for _, g := range c.policies {
		g.pool.limit = time.Hour
	}
}

// InstallFeed offers a feed to something that may not be wazero's cache.
func InstallFeed(c wazero.CompilationCache) error { return new(feed).install(c) }

// ValidName is the key that marks a module as validated.
func ValidName(module []byte) string {
	m, err := meter.Parse(module)
	if err != nil {
		panic(err)
	}
	return validName(m.Core())
}
