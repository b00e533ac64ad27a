package app

import (
	"maps"
	"os"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// Source is a configuration file, with the files that it names and that a reload reads, and how they looked when they
// were read last. It is not safe for concurrent use.
//
// It looks instead of being told: a look each second costs a few microseconds, needs no library, and sees what
// notifications do not, such as links that are turned to another directory, network file systems, and a file that is
// replaced together with its folder.
type Source struct {
	drivers Drivers
	file    string
	environ []string
	named   []string        // absolute
	read    map[string]look // as it was read last
	pending map[string]look // a difference that was seen once
}

// look tells one state of a file from another. The zero look is that of a file that cannot be seen.
type look struct {
	changed time.Time
	size    int64
	inode   uint64
}

func lookAt(file string) look {
	info, err := os.Stat(file) // follows links: what counts is what would be read
	if err != nil {
		return look{}
	}
	inode, _ := inodeOf(file)
	return look{info.ModTime(), info.Size(), inode}
}

// Source is the configuration in file with the variables of environ, as Load takes them.
func (d Drivers) Source(file string, environ []string) *Source {
	return &Source{drivers: d, file: file, environ: environ}
}

// Load reads the configuration. What changes after it began is seen by Changed, also in files that are read later.
func (s *Source) Load() (*config.Config, error) {
	before := lookAt(s.file)
	c, err := s.drivers.Load(s.file, s.environ)
	if err == nil {
		s.named = named(c)
	}
	s.pending, s.read = nil, s.look()
	s.read[s.file] = before
	return c, err
}

// Changed reports whether a file is not what Load saw, and has been the same since the last look: whoever writes it is
// done.
func (s *Source) Changed() bool {
	now := s.look()
	switch {
	case maps.Equal(now, s.read):
		s.pending = nil
		return false
	case s.pending != nil && maps.Equal(now, s.pending):
		return true
	}
	s.pending = now
	return false
}

func (s *Source) look() map[string]look {
	out := map[string]look{s.file: lookAt(s.file)}
	for _, file := range s.named {
		out[file] = lookAt(file)
	}
	return out
}

// named is the files of c that a reload reads.
func named(c *config.Config) []string {
	refs := []config.Ref{c.Identity.Keys, c.Identity.SigningKey}
	for _, r := range c.Identity.Trust {
		refs = append(refs, r.JWKS, r.CA)
	}
	for _, h := range c.Hooks {
		refs = append(refs, h.Key, h.OldKey)
	}
	for _, p := range c.Policy.Chain {
		refs = append(refs, p.Bundle, p.Verify)
	}
	if t := c.Listen.Native.TLS; t != nil {
		refs = append(refs, t.Cert, t.Key, t.ClientCA)
	}
	var out []string
	for _, r := range refs {
		if r.Scheme == "file" {
			out = append(out, c.Abs(r.Name))
		}
	}
	return out
}
