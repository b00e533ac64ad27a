package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// awsParameters are the query parameters of a request in the AWS dialect.
type awsParameters struct {
	url.Values
	order []string // names, as they were sent
}

// awsQuery is query, with the agent's word for what it does not know.
func awsQuery(r *http.Request, names ...string) (awsParameters, error) {
	var p awsParameters
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err == nil && pair != "" {
			p.order = append(p.order, name)
		}
	}
	var err error
	p.Values, err = query(r, names...)
	if err == nil || errorOf(err).Code != api.UnknownParameter {
		return p, err
	}
	message := "unknown parameter"
	unknown := func(name string) bool { return !slices.Contains(names, name) }
	if i := slices.IndexFunc(p.order, unknown); i >= 0 && wordLike(p.order[i]) {
		message += ": " + p.order[i]
	}
	return p, fail(api.UnknownParameter, message)
}

// wordLike reports whether a name that a caller made up can stand in a plain text.
func wordLike(s string) bool {
	_, err := secret.ParseVersion(s)
	return err == nil
}

// firstOf is the parameter that was sent first of these, "" where none was.
func (p awsParameters) firstOf(names ...string) string {
	for _, sent := range p.order {
		for _, name := range names {
			if sent == name {
				return name
			}
		}
	}
	return ""
}
