package wasm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/policy"
)

// Slots of the flat1 encoding: the order is part of the ABI, new ones are appended.
const (
	slotAction = iota
	slotPath
	slotMount
	slotVersion
	slotTrust
	slotIssuer
	slotSubject
	slotAuthenticatedBy
	slotRegion
	slotSourceIP
	slotSurface
	slotUserAgent
	slotDeployment
	slotAnomaly
	slotApproval // always empty in this version
	numSlots
)

// slotInput is the input name of a slot.
func slotInput(slot int) string {
	return [numSlots]string{
		"action", "secret.path", "secret.mount", "secret.version", "principal.trust", "principal.issuer",
		"principal.subject", "principal.authenticated_by", "context.region", "context.source_ip", "context.surface",
		"context.user_agent", "context.deployment", "context.anomaly", "context.approval",
	}[slot]
}

const (
	inputExpires = "principal.token_expires"
	inputScopes  = "principal.scopes"
	inputClaims  = "principal.claims"
	inputLabels  = "secret.labels"
)

// projection is the part of a request that a policy declared, and the only part that it ever sees.
type projection struct {
	slots          [numSlots]bool
	expires        bool
	scopes         bool
	time           bool
	claims, labels pairFilter
	declared       []string
}

// declare adds one input by its name.
func (p *projection) declare(name string) error {
	if slices.Contains(p.declared, name) {
		return fmt.Errorf("%.80q is repeated", name)
	}
	p.declared = append(p.declared, name)
	for slot := range p.slots {
		if slotInput(slot) == name {
			p.slots[slot] = true
			return nil
		}
	}
	switch name {
	case inputExpires:
		p.expires = true
	case inputScopes:
		p.scopes = true
	case inputClaims:
		p.claims.all = true
	case inputLabels:
		p.labels.all = true
	case "context.time_ms":
		return fmt.Errorf("%q is not an input: declare it with the member time", name)
	default:
		if one, ok := strings.CutPrefix(name, inputClaims+"."); ok && one != "" {
			p.claims.names = append(p.claims.names, one)
		} else if one, ok := strings.CutPrefix(name, inputLabels+"."); ok && one != "" {
			p.labels.names = append(p.labels.names, one)
		} else {
			return fmt.Errorf("%.80q is not an input", name)
		}
	}
	return nil
}

// text returns what slot shows of r. The anomaly is a number and not among them.
func (p *projection) text(slot int, r *policy.Request) string {
	if !p.slots[slot] {
		return ""
	}
	switch slot {
	case slotAction:
		return string(r.Action)
	case slotPath:
		return r.Path.String()
	case slotMount:
		return r.Mount
	case slotVersion:
		return string(r.Version)
	case slotTrust:
		return r.Principal.Trust
	case slotIssuer:
		return r.Principal.Issuer
	case slotSubject:
		return r.Principal.Subject
	case slotAuthenticatedBy:
		return r.Principal.AuthenticatedBy
	case slotRegion:
		return r.Context.Region
	case slotSourceIP:
		return r.Context.SourceIP
	case slotSurface:
		return r.Context.Surface
	case slotUserAgent:
		return r.Context.UserAgent
	case slotDeployment:
		return r.Context.Deployment
	}
	return ""
}

func (p *projection) nowMillis(r *policy.Request) int64 {
	if !p.time {
		return 0
	}
	return r.Context.Time.UnixMilli()
}

func (p *projection) expiresSeconds(r *policy.Request) int64 {
	if !p.expires || r.Principal.Expires.IsZero() {
		return 0
	}
	return r.Principal.Expires.Unix()
}

func (p *projection) anomaly(r *policy.Request) int64 {
	if !p.slots[slotAnomaly] {
		return 0
	}
	return int64(r.Context.Anomaly)
}

func (p *projection) scopesOf(r *policy.Request) policy.Scopes {
	if !p.scopes {
		return nil
	}
	return r.Principal.Scopes
}

// pairFilter selects among sorted pairs and keeps their order.
type pairFilter struct {
	all   bool
	names []string
}

func (f *pairFilter) has(name string) bool { return f.all || slices.Contains(f.names, name) }

func (f *pairFilter) count(pairs []policy.Pair) int {
	if f.all {
		return len(pairs)
	}
	if len(f.names) == 0 {
		return 0
	}
	n := 0
	for i := range pairs {
		if f.has(pairs[i].Name) {
			n++
		}
	}
	return n
}
