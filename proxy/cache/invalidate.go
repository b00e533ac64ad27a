package cache

import (
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Invalidate drops every entry whose path p matches, in all mounts and versions, and returns how many there were; what is
// remembered as absent there is forgotten. What nobody is reading is wiped when it returns. Reads under way are cut off: their callers may still have the result, but
// it is not cached, and callers who come after Invalidate start a read of their own. One path costs as much as it has
// entries; a pattern with a wildcard looks at every path.
func (c *Cache) Invalidate(p secret.Pattern) int {
	c.mu.Lock()
	defer c.unlock()
	if path, ok := onlyPath(p); ok {
		return c.invalidateLocked(path)
	}
	n := 0
	for path := range c.paths {
		if p.Match(path) {
			n += c.invalidateLocked(path)
		}
	}
	for path := range c.flights {
		if p.Match(path) {
			c.invalidateLocked(path)
		}
	}
	for _, path := range c.negative.Keys() {
		if p.Match(path) {
			c.negative.Remove(path)
		}
	}
	return n
}

// Flush drops everything, as Invalidate of a pattern that matches every path does.
func (c *Cache) Flush() {
	c.mu.Lock()
	defer c.unlock()
	for path := range c.paths {
		c.invalidateLocked(path)
	}
	for path := range c.flights {
		c.invalidateLocked(path)
	}
	c.negative.Purge()
}

func (c *Cache) invalidateLocked(path secret.Path) int {
	c.negative.Remove(path)
	n := 0
	for it := c.paths[path]; it != nil; it = c.paths[path] {
		c.removeLocked(it)
		n++
	}
	for _, f := range c.flights[path] {
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
