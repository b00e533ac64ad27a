package cache

import (
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Invalidate drops every entry whose path p matches, or one of whose paths, in all mounts and versions, and returns how
// many there were; what is remembered as absent there is forgotten. What nobody is reading is wiped when it returns. Reads under way are cut off: their callers may still have the result, but
// it is not cached, and callers who come after Invalidate start a read of their own. One path costs as much as it has
// entries; a pattern with a wildcard looks at every path.
func (c *Cache) Invalidate(p secret.Pattern) int {
	c.mu.Lock()
	defer c.unlock()
	if path, ok := onlyPath(p); ok {
		return c.invalidateLocked(place{path, false}) + c.invalidateLocked(place{path.Parent(), true})
	}
	n := 0
	for at := range c.places {
		if at.matches(p) {
			n += c.invalidateLocked(at)
		}
	}
	for at := range c.flights {
		if at.matches(p) {
			c.invalidateLocked(at)
		}
	}
	for _, at := range c.negative.Keys() {
		if at.matches(p) {
			c.negative.Remove(at)
		}
	}
	return n
}

// Flush drops everything, as Invalidate of a pattern that matches every path does.
func (c *Cache) Flush() {
	c.mu.Lock()
	defer c.unlock()
	for at := range c.places {
		c.invalidateLocked(at)
	}
	for at := range c.flights {
		c.invalidateLocked(at)
	}
	c.negative.Purge()
}

func (c *Cache) invalidateLocked(at place) int {
	c.negative.Remove(at)
	n := 0
	for it := c.places[at]; it != nil; it = c.places[at] {
		c.removeLocked(it)
		n++
	}
	for _, f := range c.flights[at] {
		c.detachLocked(f)
	}
	return n
}

// onlyPath returns the one path that a pattern without wildcards matches.
func onlyPath(p secret.Pattern) (secret.Path, bool) {
	if strings.Contains(p.String(), "*") {
		return secret.Path{}, false
	}
	path, err := secret.ParsePath(p.String())
	return path, err == nil
}
