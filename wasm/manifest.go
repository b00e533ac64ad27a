package wasm

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/keyhole-edge/keyhole/internal/strictjson"

	"github.com/keyhole-edge/keyhole/wasm/internal/meter"
)

const manifestSection = "keyhole.policy"

// Bounds and defaults of what a manifest may ask for.
const (
	abiVersion       = 1
	defaultFuel      = 10_000_000
	maxFuel          = 100_000_000
	defaultPages     = 64
	maxPages         = 512
	maxManifestBytes = 64 << 10
	startFuelFactor  = 10 // a new instance's start and policy_init have this many times the fuel of a decision
)

type encoding string

const (
	encodingJSON  encoding = "json"
	encodingFlat1 encoding = "flat1"
)

// manifest is what a module says about itself in its custom section; ABI.md describes it.
type manifest struct {
	name     string
	encoding encoding
	inputs   projection
	fuel     int64
	pages    uint32
	wasi     bool
	rules    map[uint16]string
}

// readManifest finds the one manifest section of a module and reads it.
func readManifest(m *meter.Module) (manifest, error) {
	var data []byte
	found := 0
	for _, c := range m.Customs {
		if c.Name == manifestSection {
			data = c.Data
			found++
		}
	}
	if found != 1 {
		return manifest{}, fmt.Errorf("%d custom sections named %q, want 1", found, manifestSection)
	}
	mf, err := parseManifest(data)
	if err != nil {
		return mf, fmt.Errorf("manifest: %w", err)
	}
	return mf, nil
}

func parseManifest(data []byte) (manifest, error) {
	mf := manifest{fuel: defaultFuel, pages: defaultPages}
	if len(data) > maxManifestBytes {
		return mf, fmt.Errorf("%d bytes, at most %d are allowed", len(data), maxManifestBytes)
	}
	doc, err := parseStrict(data)
	if err != nil {
		return mf, err
	}
	// The kind comes first: a manifest of another kind follows other rules.
	if err := checkKind(doc.Get("kind")); err != nil {
		return mf, err
	}
	seen := func(node) error { return nil }
	err = fields(doc, map[string]func(node) error{
		"abi": func(n node) error {
			_, err := asInt(n, abiVersion, abiVersion)
			return err
		},
		"kind":         seen,
		"encoding":     mf.setEncoding,
		"inputs":       mf.setInputs,
		"time":         mf.setTime,
		"fuel":         func(n node) (err error) { mf.fuel, err = asInt(n, 1, maxFuel); return err },
		"memory_pages": mf.setPages,
		"wasi":         mf.setWASI,
		"rules":        mf.setRules,
		"name":         mf.setName,
		"version":      checkVersion,
		"entrypoint":   func(node) error { return errors.New("not a member of kind native") },
	})
	if err != nil {
		return mf, err
	}
	for _, name := range []string{"abi", "kind", "encoding", "inputs", "name"} {
		if doc.Get(name) == nil {
			return mf, fmt.Errorf("member %q is missing", name)
		}
	}
	return mf, nil
}

func checkKind(n node) error {
	if n == nil {
		return nil
	}
	switch kind, err := asString(n); {
	case err != nil:
		return fmt.Errorf("kind: %w", err)
	case kind == "opa":
		return errors.New(`kind "opa" is not supported by this host: it runs kind "native"`)
	case kind != "native":
		return fmt.Errorf("kind %.40q is unknown", kind)
	}
	return nil
}

func (mf *manifest) setEncoding(n node) error {
	s, err := asString(n)
	if err != nil {
		return err
	}
	mf.encoding = encoding(s)
	if mf.encoding != encodingJSON && mf.encoding != encodingFlat1 {
		return fmt.Errorf("%.40q is not json or flat1", s)
	}
	return nil
}

func (mf *manifest) setInputs(n node) error {
	list, err := asArray(n)
	if err != nil {
		return err
	}
	for i := range list {
		s, err := asString(&list[i])
		if err != nil {
			return err
		}
		if err := mf.inputs.declare(s); err != nil {
			return err
		}
	}
	return nil
}

func (mf *manifest) setTime(n node) error {
	s, err := asString(n)
	if err != nil {
		return err
	}
	switch s {
	case "none":
	case "ttl", "exact":
		mf.inputs.time = true
	default:
		return fmt.Errorf("%.40q is not none, ttl or exact", s)
	}
	return nil
}

func (mf *manifest) setPages(n node) error {
	i, err := asInt(n, 1, maxPages)
	mf.pages = uint32(i)
	return err
}

func (mf *manifest) setWASI(n node) error {
	if n.Kind != strictjson.Bool {
		return errors.New("not true or false")
	}
	mf.wasi = n.Bool
	return nil
}

func (mf *manifest) setRules(n node) error {
	if n.Kind != strictjson.Object {
		return errors.New("not an object")
	}
	mf.rules = make(map[uint16]string, len(n.Members))
	for i := range n.Members {
		m := &n.Members[i]
		code, err := strconv.ParseUint(m.Name, 10, 16)
		if err != nil || strconv.FormatUint(code, 10) != m.Name {
			return fmt.Errorf("code %.40q is not a decimal number within 0 and 65535", m.Name)
		}
		name, err := asString(&m.Value)
		if err == nil {
			err = checkRuleName(name)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		mf.rules[uint16(code)] = name
	}
	return nil
}

func (mf *manifest) setName(n node) error {
	s, err := asString(n)
	if err != nil {
		return err
	}
	mf.name = s
	return checkPolicyName(s)
}

func checkVersion(n node) error {
	s, err := asString(n)
	if err != nil {
		return err
	}
	if len(s) > maxNameBytes || !all(s, printableASCII) {
		return fmt.Errorf("%.80q is not 0-%d printable ASCII bytes", s, maxNameBytes)
	}
	return nil
}
