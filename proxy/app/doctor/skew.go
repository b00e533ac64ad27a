package doctor

import (
	"fmt"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// skew holds the clock of an upstream against ours: theirs was read, to the second, between two looks at ours. One of
// the two is wrong, and it cannot be told which.
func skew(before, after, theirs time.Time, where string) []Finding {
	if theirs.IsZero() {
		return nil
	}
	ahead, what := theirs.Sub(after), "ahead of"
	if behind := before.Truncate(time.Second).Sub(theirs); behind > ahead {
		ahead, what = behind, "behind"
	}
	if ahead <= identity.Leeway {
		return nil
	}
	return []Finding{warn(fmt.Sprintf("its clock is %s %s ours", ahead.Round(time.Second), what), where,
		"set the clock that is wrong (NTP): tokens and logins are refused, or live too long, until it is right")}
}
