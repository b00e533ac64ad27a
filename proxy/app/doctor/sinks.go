package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// sinks asks every audit sink across a network whether it would take records. Files are looked at with permissions and
// disk.
func sinks(ctx context.Context, p *patient) []Finding {
	var out []Finding
	for i, s := range p.Audit.Sinks {
		if s.DynamoDB == nil && s.Firehose == nil || p.set.Drivers.Sinks[s.Type] == nil {
			continue
		}
		where := func(key string) string { return strings.TrimSuffix(fmt.Sprintf("audit.sinks[%d].%s", i, key), ".") }
		opened, err := p.set.Drivers.Sinks[s.Type](p.env(), s)
		if err != nil {
			out = append(out, unopened(err, where("")))
			continue
		}
		if checker, can := opened.(audit.Checker); can {
			before := p.set.Wall()
			asked, cancel := context.WithTimeout(ctx, checkupTime)
			out = append(out, p.told(checker.Checkup(asked), before, where)...)
			cancel()
		}
		_ = opened.Close()
	}
	return out
}
