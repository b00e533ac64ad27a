package config

import (
	"net/netip"
	"reflect"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Strings is one string or several: a document may write a single one without the list.
type Strings []string

// JSON is a JSON object that configuration only passes on, in canonical form; nil when absent.
type JSON []byte

var (
	typeDuration = reflect.TypeFor[Duration]()
	typeSize     = reflect.TypeFor[Size]()
	typeRef      = reflect.TypeFor[Ref]()
	typePath     = reflect.TypeFor[secret.Path]()
	typePattern  = reflect.TypeFor[secret.Pattern]()
	typePrefix   = reflect.TypeFor[netip.Prefix]()
	typeStrings  = reflect.TypeFor[Strings]()
	typeJSON     = reflect.TypeFor[JSON]()
)
