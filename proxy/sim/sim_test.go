package sim_test

import (
	"context"
	"crypto/ed25519"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/identity"
)

var (
	oneSeed  = flag.Uint64("sim.seed", 0, "run this seed only, and show what happens")
	howMany  = flag.Uint64("sim.seeds", 0, "how many seeds to run; 0: 20,000, or less under the race detector and with -short")
	firstOne = flag.Uint64("sim.first", 1, "the first seed")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seeds is how many there are to run.
func seeds() uint64 {
	switch {
	case *howMany > 0:
		return *howMany
	case testing.Short():
		return 300
	case raceEnabled:
		return 400
	}
	return 20_000
}

func TestSimulator(t *testing.T) {
	k, err := makeKeys()
	if err != nil {
		t.Fatal(err)
	}
	if *oneSeed != 0 {
		if w := runSeed(t, k, *oneSeed); w != nil {
			t.Logf("seed %d, %+v\n%s", *oneSeed, w.setup, strings.Join(w.trace, "\n"))
		}
		return
	}
	first, last := *firstOne, *firstOne+seeds()-1
	t.Logf("seeds %d..%d", first, last)
	var next, failed atomic.Uint64
	next.Store(first)
	t.Run("seeds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1) - 1; seed <= last && failed.Load() < 3; seed = next.Add(1) - 1 {
					if w := runSeed(t, k, seed); w == nil || w.broken() {
						failed.Add(1)
					}
				}
			})
		}
	})
}

// runSeed runs one seed in a bubble of its own, until the first violation.
func runSeed(t *testing.T, k *keys, seed uint64) (w *world) {
	synctest.Test(t, func(t *testing.T) {
		p := makePlan(seed)
		var err error
		if w, err = newWorld(p.setup, k); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w.ctx = ctx
		w.simulate(p)
		if w.broken() {
			t.Errorf("seed %d\n  %s\nrun it alone: go test ./proxy/sim -run TestSimulator -sim.seed=%d\n%s",
				seed, strings.Join(w.wrong, "\n  "), seed, strings.Join(w.trace, "\n"))
		}
	})
	return w
}

// simulate runs the steps, with all checks after each, and ends the node in order.
func (w *world) simulate(p plan) {
	if err := w.boot(); err != nil {
		w.violated("availability", "the node does not start: %v", err)
		return
	}
	for i, s := range p.steps {
		w.trace = append(w.trace, fmt.Sprintf("%2d %10v %s", i+1, w.clock.now().wall, s.name))
		s.run(w)
		w.checkMemory()
		if w.broken() {
			w.trace = append(w.trace, "   ^^ here")
			w.bury()
			return
		}
	}
	w.trace = append(w.trace, "the end")
	w.mend()
	w.clock.pass(w.setup.check + 5e9)
	if err := w.stop(); err != nil {
		w.violated("I1", "stopping: %v", err)
	}
	if p.audit {
		w.checkLog()
	}
}

func (k *keys) public() ed25519.PublicKey { return k.audit.Public().(ed25519.PublicKey) }

// reload gives the process the rules of the world, with a verifier of its own, as a reload of the configuration does.
func (l *life) reload(w *world) error {
	v, err := identity.New(identity.Config{Issuer: issuer, Audience: issuer, Keys: w.keys.set, Wall: w.clock.Wall})
	if err != nil {
		return err
	}
	_, err = l.SetRules(proxy.Rules{Verifier: v, Authorizer: &judge{w, w.rule}, Labels: w.rule.labels()})
	return err
}
