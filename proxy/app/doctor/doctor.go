// Package doctor looks at a set-up and says what is wrong with it, where, and what to do.
//
// Laws. It changes nothing, prints no secret, and works whether the server runs or not. Where a vault gives a token for a
// login it gets one, as the server does, and leaves it to end; a stream for audit records gets an empty one, which adds
// nothing to what it delivers. A check is one file with one function, and stands in the
// list checks; each says one line where all is well, and one line for each thing that is not.
// What keeps a server from starting or serving is a failure; what will, or what weakens it, is a warning.
package doctor

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
)

// Status is how serious a finding is.
type Status string

const (
	OK   Status = "ok"
	Warn Status = "warn" // it works, but not for long or not as safely as it should
	Fail Status = "fail" // a server does not start, or does not serve
)

// Finding is one line of the report.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	What   string `json:"what"`
	Where  string `json:"where,omitempty"` // a file, an address or a key of the configuration
	Fix    string `json:"fix,omitempty"`   // "" where nothing is to be done
}

// Config says what to look at.
type Config struct {
	Drivers app.Drivers         // what the server is built of
	File    string              // configuration, as "keyhole serve --config" takes it
	Environ []string            // nil: os.Environ
	Getenv  func(string) string // nil: os.Getenv
	Wall    func() time.Time    // nil: time.Now
}

func (c *Config) setDefaults() {
	if c.Environ == nil {
		c.Environ = os.Environ()
	}
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
}

// check is one of the examinations.
type check struct {
	name string
	run  func(context.Context, *patient) []Finding
}

// checks are made in this order. A file that is not there is told of once, by the check that needs what is in it.
func checks() []check {
	return []check{
		{"permissions", permissions},
		{"clock", clock},
		{"port", ports},
		{"keys", keys},
		{"issuers", issuers},
		{"disk", disk},
		{"policy", policies},
		{"audit", sinks},
		{"upstreams", upstreams},
	}
}

// patient is the set-up that is looked at.
type patient struct {
	*config.Config
	set    Config
	server devdir.Server // of the process that runs
	pid    int           // of the process that works in the directory, 0 where none does
}

// env is what drivers are given, as a server gives it.
func (p *patient) env() app.Env {
	return app.Env{Config: p.Config, Getenv: p.set.Getenv, Wall: p.set.Wall, Logger: slog.New(slog.DiscardHandler)}
}

// unopened is that a driver takes no such configuration.
func unopened(err error, where string) Finding {
	return fail(err.Error(), where, "correct the configuration, or what it refers to")
}

// Examine makes every check. Without a configuration that can be read there is one finding.
func Examine(ctx context.Context, c Config) []Finding {
	c.setDefaults()
	p := &patient{set: c}
	out, ok := p.configuration()
	for _, k := range checks() {
		if !ok {
			break
		}
		found := k.run(ctx, p)
		for i := range found {
			found[i].Check = k.name
		}
		out = append(out, found...)
	}
	return out
}

// Worst is the most serious status of a report.
func Worst(found []Finding) Status {
	worst := OK
	for _, f := range found {
		switch {
		case f.Status == Fail:
			return Fail
		case f.Status == Warn:
			worst = Warn
		}
	}
	return worst
}

func ok(what, where string) Finding { return Finding{Status: OK, What: what, Where: where} }

func warn(what, where, fix string) Finding {
	return Finding{Status: Warn, What: what, Where: where, Fix: fix}
}

func fail(what, where, fix string) Finding {
	return Finding{Status: Fail, What: what, Where: where, Fix: fix}
}
