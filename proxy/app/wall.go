package app

import "time"

// wall is the clock that says how old things are: it also runs while the process is frozen, and somebody may set it. It
// stands by itself so that tests of a built program can put another in its place, which no program has that is shipped.
func wall() time.Time { return time.Now() }
