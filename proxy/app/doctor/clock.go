package doctor

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// earliest is before every version of this program: a clock that shows less was never set.
var earliest = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// clock holds the time against what was written before now: tokens, versions and records are dated by it.
func clock(_ context.Context, p *patient) []Finding {
	now := p.set.Wall()
	if now.Before(earliest) {
		return []Finding{fail("the clock shows "+now.UTC().Format(time.RFC3339)+": it was never set", "", "set the clock (NTP), then start the server")}
	}
	for _, file := range p.private() {
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		if ahead := info.ModTime().Sub(now); ahead > identity.Leeway {
			return []Finding{fail(fmt.Sprintf("the file was written %s after now: the clock was set back, or was wrong then", ahead.Round(time.Second)),
				file, "set the clock (NTP); tokens are refused, or live too long, until it is right")}
		}
	}
	return []Finding{ok("not before anything that was written; the time itself is not compared with others", "")}
}
