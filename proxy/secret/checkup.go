package secret

import (
	"context"
	"time"
)

// Checker is an Upstream that can look at its own set-up, for somebody who wants to know why it does not serve.
type Checker interface {
	// Checkup asks the upstream what reads at these places would need. It reads no secret, changes nothing but that it may
	// log in, and puts no secret and no credential into what it returns. It honours ctx.
	Checkup(ctx context.Context, places []Place) Checkup
}

// Place is where a mount begins in an upstream.
type Place struct {
	At     string // objects below it are read; "" is all of the upstream
	Itself bool   // the object At may be read in their stead, as one that holds fields
}

// Checkup is what a Checker found.
type Checkup struct {
	Time     time.Time // by the upstream's clock, to the second; zero where it did not answer
	Good     []string  // what works, some words each
	Troubles []Trouble
}

// Trouble is one thing that is not as it must be, or as it should.
type Trouble struct {
	What  string
	Where string // key of the upstream's configuration, assume_role of a mount's, or "" for all of it
	Fix   string // what to do
	Minor bool   // reads succeed all the same
}
