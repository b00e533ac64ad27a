package sim_test

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// ruling is one set of rules that can be in force: whom the policy denies, and what is classified as restricted.
type ruling struct {
	revision   int
	deny       map[string]string // subject -> prefix that it may not touch
	broken     bool              // the policy traps
	restricted string            // prefix of paths, "" for none
}

func (r *ruling) allows(subject, path string) bool {
	prefix, denied := r.deny[subject]
	return !r.broken && !(denied && under(path, prefix))
}

func (r *ruling) restricts(path string) bool { return r.restricted != "" && under(path, r.restricted) }

func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func (r *ruling) String() string {
	return fmt.Sprintf("rules %d: deny %v, broken %v, restricted %q", r.revision, r.deny, r.broken, r.restricted)
}

// labels is r as configuration.
func (r *ruling) labels() []proxy.LabelRule {
	if r.restricted == "" {
		return nil
	}
	below, err := secret.Below(mustPath(r.restricted))
	if err != nil {
		panic(err)
	}
	set := []policy.Pair{{Name: "classification", Value: "restricted"}}
	return []proxy.LabelRule{{Match: below, Set: set}, {Match: secret.Exactly(mustPath(r.restricted)), Set: set}}
}

// judge is the policy of one ruling. It remembers what it was asked.
type judge struct {
	world *world
	rule  *ruling
}

// verdict is one decision of a policy.
type verdict struct {
	at            instant
	subject, path string
	allowed       bool
}

func (j *judge) Authorize(_ context.Context, r *policy.Request) policy.Decision {
	w := j.world
	path := r.Path.String()
	allowed := j.rule.allows(r.Principal.Subject, path)
	w.verdicts.add(w.clock, verdict{subject: r.Principal.Subject, path: path, allowed: allowed})
	d := policy.Decision{Rule: "sim/rule", Digest: j.Digest()}
	switch {
	case j.rule.broken:
		// Whatever a policy answered that failed, the answer is no.
		d.Fault = fmt.Errorf("trap: unreachable")
	case allowed:
		d.Effect = policy.Allow
	}
	return d
}

func (j *judge) Digest() string { return fmt.Sprintf("sha256:%064d", j.rule.revision) }

// verdicts is what policies decided, in order.
type verdicts struct {
	mu  sync.Mutex
	all []verdict
}

func (v *verdicts) add(c *clock, d verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	d.at = c.now() // under the lock: they are in order
	v.all = append(v.all, d)
}

// between reports whether the subject was allowed the path between the two moments.
func (v *verdicts) between(from, to instant, subject, path string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := len(v.all) - 1; i >= 0 && from.before(v.all[i].at); i-- {
		d := &v.all[i]
		if d.at.before(to) && d.subject == subject && d.path == path && d.allowed {
			return true
		}
	}
	return false
}
