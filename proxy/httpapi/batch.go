package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

const batchForm = `want {"paths":["…"]} with 1 to 100 paths`

// batchPath is one path as it was asked for, and what is wrong with it.
type batchPath struct {
	text string
	err  error
}

// batchGet serves POST /v1/secrets:batchGet. A path that is none is an error of its item, like a secret that is not there.
func (n *Native) batchGet(w http.ResponseWriter, r *http.Request) error {
	root, err := n.request(w, r, batchForm, "paths")
	if err != nil {
		return err
	}
	asked, paths, err := parseBatch(root)
	if err != nil {
		return err
	}
	c, err := n.call(r)
	if err != nil {
		return err
	}
	items, err := n.proxy.ReadBatch(r.Context(), &c, paths)
	if err != nil {
		return err
	}
	defer func() {
		for i := range items {
			items[i].Answer.Release()
		}
	}()
	buf := take()
	*buf = appendBatch(*buf, asked, items)
	send(w, buf)
	return nil
}

// parseBatch returns every path as it was asked for, and those that are paths, in the same order.
func parseBatch(root *strictjson.Node) ([]batchPath, []secret.Path, error) {
	list := root.Get("paths")
	if list == nil || list.Kind != strictjson.Array || len(list.Elems) == 0 || len(list.Elems) > proxy.MaxBatch {
		return nil, nil, fail(api.InvalidRequest, batchForm)
	}
	asked := make([]batchPath, len(list.Elems))
	paths := make([]secret.Path, 0, len(list.Elems))
	for i := range list.Elems {
		text, ok := list.Elems[i].Str()
		if !ok {
			return nil, nil, fail(api.InvalidRequest, batchForm)
		}
		path, err := parsePath(text)
		if asked[i] = (batchPath{text, err}); err == nil {
			paths = append(paths, path)
		}
	}
	return asked, paths, nil
}

// appendBatch writes the answer. The room for all values is made first, as for one.
func appendBatch(b []byte, asked []batchPath, items []proxy.BatchItem) []byte {
	size := 64
	for i := range asked {
		size += 1024 + 6*len(asked[i].text)
	}
	for i := range items {
		if items[i].Err == nil {
			size += room(&items[i].Answer)
		}
	}
	b = slices.Grow(b, size)
	b = append(b, `{"results":[`...)
	for i := range asked {
		if i > 0 {
			b = append(b, ',')
		}
		var item proxy.BatchItem
		if item.Err = asked[i].err; item.Err == nil {
			item, items = items[0], items[1:]
		}
		b = appendBatchItem(b, asked[i].text, &item)
	}
	return append(b, "]}\n"...)
}

func appendBatchItem(b []byte, path string, item *proxy.BatchItem) []byte {
	b = append(b, `{"path":`...)
	b = jsontext.AppendString(b, path)
	b = append(b, `,"status":`...)
	if item.Err == nil {
		b = append(b, `200,"data":`...)
		b = appendData(b, &item.Answer)
		return append(b, '}')
	}
	e := errorOf(item.Err)
	b = strconv.AppendInt(b, int64(e.Code.Status()), 10)
	b = append(b, `,"error":`...)
	text, err := json.Marshal(shown(e))
	if err != nil {
		text = []byte(`{"code":"internal"}`) // cannot be: it is made of texts and a number
	}
	b = append(b, text...)
	return append(b, '}')
}
