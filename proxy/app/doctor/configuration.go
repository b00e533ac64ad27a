package doctor

import (
	"errors"
	"io/fs"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
)

// configuration reads the document as a server does. ok is false where nothing else can be looked at.
func (p *patient) configuration() (found []Finding, good bool) {
	add := func(f Finding) []Finding {
		f.Check = "configuration"
		return append(found, f)
	}
	c, err := p.set.Drivers.Load(p.set.File, p.set.Environ)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return add(fail("there is no configuration", p.set.File, `run "keyhole dev" for a first set-up, or name the file with --config`)), false
	case err != nil:
		return add(fail(err.Error(), p.set.File, "correct the file; a server that runs keeps the configuration that it has")), false
	}
	p.Config = c
	if err := p.set.Drivers.Unsupported(c); err != nil {
		found = add(fail(err.Error(), p.set.File, "remove what this version does not support"))
	}
	if p.pid, err = devdir.Holder(c.Dir); err != nil {
		found = add(warn("it cannot be told whether a server runs: "+err.Error(), c.Dir, "run this as the user of the server"))
	}
	if p.pid > 0 {
		if server, there, err := devdir.Find(c.Dir); err == nil && there {
			p.server = server
		}
	}
	if len(found) == 0 {
		found = add(ok("valid", p.set.File))
	}
	return found, true
}
