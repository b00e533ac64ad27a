package httpapi

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// put serves PUT /v1/secrets/{path}.
func (n *Native) put(w http.ResponseWriter, r *http.Request, name string) error {
	body, err := n.body(w, r, maxPutBodyBytes)
	defer body.free()
	if err != nil {
		return err
	}
	write, err := parseWrite(body.bytes)
	if err != nil {
		return err
	}
	defer write.Secret.Wipe()
	path, c, err := n.callOn(r, name)
	if err != nil {
		return err
	}
	done, err := n.proxy.Write(r.Context(), &c, path, write)
	if err != nil {
		return err
	}
	writeWritten(w, done)
	return nil
}

func writeWritten(w http.ResponseWriter, done proxy.Written) {
	var answer api.Written
	answer.Data.Path, answer.Data.Version = done.Path.String(), string(done.Version)
	w.Header()["X-Keyhole-Decision"] = []string{done.Decision}
	status := http.StatusOK
	if done.Created {
		status = http.StatusCreated
	}
	writeJSON(w, status, answer)
}

const writeForm = `want {"value":"…","encoding"?:"utf-8"|"base64"} or {"fields":{"NAME":"…"}}, with "metadata"?:{"NAME":"…"} and "if_version"?:"N"`

// parseWrite reads the document of a PUT. No error repeats anything of it but the names of members.
func parseWrite(body []byte) (secret.Write, error) {
	root, err := parseObject(body, writeForm, "value", "encoding", "fields", "metadata", "if_version")
	if err != nil {
		return secret.Write{}, err
	}
	defer root.Wipe()
	w := secret.Write{Secret: new(secret.Secret)}
	if err := fillWrite(&w, root); err != nil {
		w.Secret.Wipe()
		return secret.Write{}, err
	}
	if err := w.Secret.Check(); err != nil {
		w.Secret.Wipe()
		if errors.Is(err, secret.ErrTooLarge) {
			return secret.Write{}, fail(api.TooLarge, err.Error())
		}
		return secret.Write{}, fail(api.InvalidRequest, err.Error())
	}
	return w, nil
}

func fillWrite(w *secret.Write, root *strictjson.Node) error {
	value, fields := root.Get("value"), root.Get("fields")
	if (value == nil) == (fields == nil) || fields != nil && root.Get("encoding") != nil {
		return fail(api.InvalidRequest, "exactly one of value and fields; "+writeForm)
	}
	if value != nil {
		v, err := decodeValue(value, root.Get("encoding"))
		if err != nil {
			return err
		}
		w.Secret.Value = v
	} else {
		var err error
		if w.Secret.Fields, err = decodeFields(fields); err != nil {
			return err
		}
	}
	if m := root.Get("metadata"); m != nil {
		if m.Kind != strictjson.Object {
			return fail(api.InvalidRequest, "metadata is an object of strings")
		}
		w.Secret.Metadata = make(map[string]string, len(m.Members))
		for _, e := range m.Members {
			text, ok := e.Value.Str()
			if !ok {
				return fail(api.InvalidRequest, fmt.Sprintf("metadata %.40q is not a string", e.Name))
			}
			w.Secret.Metadata[e.Name] = text
		}
	}
	if v := root.Get("if_version"); v != nil {
		text, ok := v.Str()
		version, err := secret.ParseVersion(text)
		if !ok || err != nil || text == "" || version == secret.Current || version == secret.Previous {
			return fail(api.InvalidRequest, `if_version is a string: the version that must be current, or "0" where the secret must not exist`)
		}
		w.IfVersion = version
	}
	return nil
}

// decodeValue copies the value out of the tree, which is wiped.
func decodeValue(value, encoding *strictjson.Node) (secret.Value, error) {
	if value.Kind != strictjson.String {
		return secret.Value{}, fail(api.InvalidRequest, "value is a string")
	}
	kind := encodingUTF8
	if encoding != nil {
		kind, _ = encoding.Str()
	}
	switch kind {
	case encodingUTF8:
		return secret.NewValue(slices.Clone(value.Text)), nil
	case encodingBase64:
		out := make([]byte, base64.StdEncoding.DecodedLen(len(value.Text)))
		if bytes.ContainsAny(value.Text, "\r\n") { // which the decoder would skip
			return secret.Value{}, fail(api.InvalidRequest, "value is base64 with line breaks; send it without")
		}
		k, err := base64.StdEncoding.Strict().Decode(out, value.Text)
		if err != nil {
			clear(out)
			return secret.Value{}, fail(api.InvalidRequest, "value is not standard padded base64 (RFC 4648 section 4)")
		}
		return secret.NewValue(out[:k]), nil
	}
	return secret.Value{}, fail(api.InvalidRequest, "encoding is utf-8 or base64")
}

func decodeFields(node *strictjson.Node) ([]secret.Field, error) {
	if node.Kind != strictjson.Object {
		return nil, fail(api.InvalidRequest, "fields is an object of strings")
	}
	fields := make([]secret.Field, 0, len(node.Members))
	for _, m := range node.Members {
		if m.Value.Kind != strictjson.String {
			for _, f := range fields {
				f.Value.Wipe()
			}
			return nil, fail(api.InvalidRequest, fmt.Sprintf("field %.40q is not a string", m.Name))
		}
		fields = append(fields, secret.Field{Name: m.Name, Value: secret.NewValue(slices.Clone(m.Value.Text))})
	}
	secret.SortFields(fields)
	return fields, nil
}
