package config

import (
	"net"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/internal/localhost"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// wrong reports a value of the wrong type or form.
func (d *decoder) wrong(p *path, n *strictjson.Node, f *field, t reflect.Type) {
	msg := "want " + wanted(f, t)
	if n.Kind == strictjson.String && t.Kind() == reflect.Int && n.Line > 0 {
		msg += " without quotes"
	}
	if n.Kind != strictjson.String && t.Kind() == reflect.String && f.enum == nil {
		msg += " (put it in quotes)"
	}
	d.fail(p, msg+", not "+describe(n, f.secretive() || f.format == "url"), nearValue(n, f, t))
}

// wanted says what a key takes, with an example.
func wanted(f *field, t reflect.Type) string {
	switch t {
	case typeDuration:
		return "a duration such as 60s"
	case typeSize:
		return "a size such as 64MiB"
	case typeRef:
		if contains(f.schemes, "builtin") {
			return "a reference such as builtin:scope or file:policies/web.bundle"
		}
		return "a reference such as file:keys/NAME.pem or env:NAME"
	case typePath:
		return "a path such as web/production"
	case typePattern:
		return "a pattern such as web/production/*"
	case typePrefix:
		return "a network such as 10.0.0.0/8"
	case typeJSON:
		return "an object of names and values"
	case typeStrings:
		return "a string, true or false, or a list of strings"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number such as " + exampleInt(f)
	case reflect.Slice:
		return "a list" + ofWhat(f, t.Elem())
	case reflect.Map:
		return "an object of names and values"
	case reflect.Struct, reflect.Pointer:
		return "an object of keys and values"
	}
	if f.enum != nil {
		return "one of " + strings.Join(f.enum, ", ")
	}
	switch f.format {
	case "address":
		return "HOST:PORT such as 127.0.0.1:8640"
	case "url":
		return "a URL such as https://vault.example:8200"
	case "name":
		return "a name such as web-1 (letters, digits, _ . -; at most 64)"
	case "place":
		return "a place in the upstream such as apps/web (segments of A-Z a-z 0-9 . _ -), or an ARN"
	case "arn":
		return "an ARN such as arn:aws:iam::123456789012:role/reader"
	}
	return "a string"
}

func exampleInt(f *field) string {
	if f.def != "" {
		return f.def
	}
	if f.min != "" {
		return f.min
	}
	return "1"
}

func ofWhat(f *field, elem reflect.Type) string {
	if elem.Kind() == reflect.Struct && !isScalar(elem) {
		return " of objects"
	}
	if elem.Kind() == reflect.String && f.enum == nil {
		return ` such as ["a", "b"]`
	}
	return ", each " + wanted(f, elem)
}

// describe says what a node is; a text that may be secret is not quoted.
func describe(n *strictjson.Node, hide bool) string {
	switch n.Kind {
	case strictjson.Bool:
		return strconv.FormatBool(n.Bool)
	case strictjson.Number:
		if hide || len(n.Text) > 40 {
			return "a number"
		}
		return string(n.Text)
	case strictjson.String:
		switch {
		case len(n.Text) == 0:
			return "an empty string"
		case hide:
			return "this text"
		}
		return quote(string(n.Text))
	case strictjson.Array:
		return "a list"
	case strictjson.Object:
		return "an object"
	}
	return "nothing"
}

// nearValue is the value that was probably meant.
func nearValue(n *strictjson.Node, f *field, t reflect.Type) string {
	text := string(n.Text)
	switch {
	case n.Kind == strictjson.Null || n.Kind > strictjson.String || f.secretive():
	case t == typeDuration:
		if _, err := ParseDuration(text + "s"); err == nil {
			return text + "s"
		}
		if days, err := strconv.ParseUint(strings.TrimSuffix(text, "d"), 10, 16); err == nil {
			return strconv.FormatUint(days*24, 10) + "h"
		}
	case t == typeSize:
		number := strings.TrimRight(text, "bBiI")
		for _, unit := range [...]string{"K", "M", "G", "T", "B"} {
			if digits, ok := strings.CutSuffix(strings.ToUpper(number), unit); ok {
				if s, err := ParseSize(strings.TrimSpace(digits) + unit + "iB"); err == nil {
					return s.String()
				}
			}
		}
	case t.Kind() == reflect.Bool:
		switch strings.ToLower(text) {
		case "yes", "on", "y", "true", "1":
			return "true"
		case "no", "off", "n", "false", "0":
			return "false"
		}
	case t.Kind() == reflect.String:
		if best := suggest(text, f.enum); best != "" {
			return best
		}
		for _, value := range f.enum {
			// warn for warning.
			if strings.HasPrefix(text, value) {
				return value
			}
		}
	}
	return ""
}

// checkString holds a string against the enum or format of its key. Where empty is no value, the format does not ask.
func (d *decoder) checkString(p *path, n *strictjson.Node, text string, f *field, t reflect.Type) bool {
	ok := true
	switch {
	case f.enum != nil:
		ok = contains(f.enum, text)
	case text == "":
	case f.format == "address":
		_, _, ok = splitAddress(text)
	case f.format == "url":
		ok = isURL(text)
	case f.format == "name":
		ok = isName(text)
	case f.format == "arn":
		ok = isARN(text)
	case f.format == "place":
		_, err := secret.ParsePath(text)
		ok = err == nil || isARN(text)
	}
	if !ok {
		d.wrong(p, n, f, t)
	}
	return ok
}

func isARN(s string) bool { return strings.HasPrefix(s, "arn:") && strings.Count(s, ":") >= 5 }

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.Opaque == "" && u.Fragment == "" && !strings.ContainsAny(s, " #")
}

// splitAddress parses HOST:PORT. An empty host is every address of the machine.
func splitAddress(s string) (host string, port uint16, ok bool) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, " /@") {
		return "", 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return host, uint16(n), err == nil
}

// IsLoopback reports whether only this machine can reach an address, HOST:PORT.
func IsLoopback(address string) bool {
	host, _, _ := splitAddress(address)
	return localhost.Is(host)
}
