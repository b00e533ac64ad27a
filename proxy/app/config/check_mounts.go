package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/internal/awsjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func (k *checker) mounts() {
	names := slices.Sorted(maps.Keys(k.c.Upstreams))
	seen := map[secret.Path]int{}
	for i := range k.c.Mounts {
		m, p := &k.c.Mounts[i], root("mounts").at(i)
		if first, dup := seen[m.Path]; dup {
			k.conflict(p.key("path"), fmt.Sprintf("mounts[%d] has the same path", first), "")
		} else {
			seen[m.Path] = i
		}
		u, ok := k.c.Upstreams[m.Upstream]
		if !ok && !k.broken(root("upstreams")) {
			k.conflict(p.key("upstream"), "no upstream has the name "+quote(m.Upstream), suggest(m.Upstream, names))
		}
		k.assumeRole(p.key("assume_role"), m, u, ok)
		if ok && isARN(m.At) {
			k.arn(p.key("at"), m, u)
		}
		k.classification(p.key("labels"), m.Labels)
		if m.Cache.SoftTTL > m.Cache.HardTTL {
			k.conflict(p.key("cache").key("soft_ttl"), "is "+formatDuration(m.Cache.SoftTTL)+", longer than hard_ttl, which is "+formatDuration(m.Cache.HardTTL), "", p.key("cache"))
		}
		if m.Labels["classification"] == "restricted" {
			// Whatever the document says: a restricted value is never served stale.
			m.Cache.StaleIfError = 0
		}
	}
}

// arn holds the ARN that a mount stands at against what its upstream has. Any other would make every read a "not found".
func (k *checker) arn(p *path, m *Mount, u Upstream) {
	service, resource := "", ""
	switch {
	case u.Type == "secretsmanager":
		service, resource = "secretsmanager", "secret:"
	case u.Type == "parameterstore":
		service, resource = "ssm", "parameter/"
	case u.Type != "":
		k.conflict(p, "is an ARN, which is for AWS upstreams; "+m.Upstream+" is of type "+u.Type, "")
		return
	default:
		return
	}
	if a, ok := awsjson.ParseARN(m.At); !ok || a.Service != service || !strings.HasPrefix(a.Resource, resource) || a.Resource == resource {
		k.conflict(p, "is no ARN of "+m.Upstream+", which begins arn:aws:"+service+":REGION:ACCOUNT:"+resource, "")
	}
}

func (k *checker) assumeRole(p *path, m *Mount, u Upstream, known bool) {
	switch r := m.AssumeRole; {
	case r == nil:
	case r.ARN == "" && r.ExternalID == "":
		m.AssumeRole = nil // both empty is the same as absent
	case r.ARN == "":
		k.conflict(p.key("arn"), "is needed with external_id", "")
	case known && u.AWS == nil && u.Type != "":
		k.conflict(p, "is for AWS upstreams; "+m.Upstream+" is of type "+u.Type, "")
	}
}

// classifications are the levels of classification, lowest first.
func classifications() []string { return []string{"public", "internal", "confidential", "restricted"} }

func (k *checker) classification(p *path, labels map[string]string) {
	if c, ok := labels["classification"]; ok && !contains(classifications(), c) {
		k.conflict(p.key("classification"), "want one of "+strings.Join(classifications(), ", ")+", not "+quote(c), suggest(c, classifications()))
	}
}
