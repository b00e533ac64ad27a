package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Hook is one sender of signed messages.
type Hook struct {
	Key    Ref              `key:"key" required:"true" private:"true" doc:"Key that signs the messages: 32 bytes or more, such as openssl rand -hex 32 makes; a line break at its end is not part of it."`
	OldKey Ref              `key:"old_key" private:"true" doc:"Key that is taken as well, while senders change to key."`
	Allow  []secret.Pattern `key:"allow" required:"true" doc:"What its messages may invalidate."`
	MaxAge Duration         `key:"max_age" default:"5m" min:"1s" max:"1h" doc:"How far the time of a message may be from this node's."`
}

// Refs is every reference of h, by its key.
func (h *Hook) Refs() map[string]Ref { return map[string]Ref{"key": h.Key, "old_key": h.OldKey} }

func (k *checker) hooks() {
	p := root("hooks")
	for _, name := range slices.Sorted(maps.Keys(k.c.Hooks)) {
		h := k.c.Hooks[name]
		if !isName(name) {
			k.failName(p.key(name), "want a name such as web-1 (letters, digits, _ . -; at most 64)", "")
		}
		if len(h.Allow) > policy.MaxScopes {
			k.conflict(p.key(name).key("allow"), fmt.Sprintf("has %d patterns; at most %d are allowed", len(h.Allow), policy.MaxScopes), "")
		}
		if !h.OldKey.IsZero() && h.OldKey == h.Key {
			k.conflict(p.key(name).key("old_key"), "is the same as key", "", p.key(name).key("key"))
		}
	}
}
