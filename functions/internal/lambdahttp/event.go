package lambdahttp

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// event is the tree of a payload. What is missing, or of another type, is empty.
type event struct{ root *strictjson.Node }

func (e event) at(names ...string) *strictjson.Node {
	n := e.root
	for _, name := range names {
		if n == nil {
			return nil
		}
		n = n.Get(name)
	}
	return n
}

func (e event) has(names ...string) bool {
	n := e.at(names...)
	return n != nil && n.Kind != strictjson.Null
}

func (e event) text(names ...string) string {
	s, _ := e.at(names...).Str()
	return s
}

func (e event) texts(names ...string) []string { return texts(e.at(names...)) }

// texts are the strings of a list, or the one that stands in place of a list.
func texts(n *strictjson.Node) []string {
	if n == nil {
		return nil
	}
	if s, ok := n.Str(); ok {
		return []string{s}
	}
	var all []string
	for i := range n.Elems {
		if s, ok := n.Elems[i].Str(); ok {
			all = append(all, s)
		}
	}
	return all
}

// gateway is the event of a Function URL or an HTTP API. A Function URL passes the path as it was sent; an HTTP API
// decodes it, and puts its stage in front unless that is the default one.
func (e event) gateway() *message {
	m := &message{
		form: formGateway, method: e.text("requestContext", "http", "method"), query: e.text("rawQueryString"),
		header: e.headers("headers"), source: address(e.text("requestContext", "http", "sourceIp")),
	}
	m.path = e.text("rawPath")
	if !strings.HasPrefix(e.text("requestContext", "domainName"), e.text("requestContext", "apiId")+".lambda-url.") {
		m.decoded = true
		m.path = withoutStage(m.path, e.text("requestContext", "stage"))
	}
	if cookies := e.texts("cookies"); len(cookies) > 0 {
		m.header["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	// They combine what came in several headers of one name. A token holds no comma, but a signature of AWS does.
	if all := m.header["Authorization"]; len(all) == 1 && !isSignature(all[0]) {
		m.header["Authorization"] = strings.Split(all[0], ",")
	}
	e.body(m)
	return m
}

// withoutStage takes the stage, which is the first segment, off a path.
func withoutStage(path, stage string) string {
	rest, ok := strings.CutPrefix(path, "/"+stage)
	if stage == "" || stage == "$default" || !ok || rest != "" && rest[0] != '/' {
		return path
	}
	return rest
}

// balancer is the event of an Application Load Balancer, which decodes nothing. It tells the address of the client in a
// header only, so that there is none. Of several values of one name it passes the last alone, unless its target group has
// multi-value headers.
func (e event) balancer() *message {
	m := &message{form: formBalancer, method: e.text("httpMethod"), path: e.text("path")}
	headers, query := "headers", "queryStringParameters"
	if e.has("multiValueHeaders") {
		m.form, headers, query = formBalancerMulti, "multiValueHeaders", "multiValueQueryStringParameters"
	}
	m.header = e.headers(headers)
	if n := e.at(query); n != nil {
		var all []string
		for i := range n.Members {
			for _, value := range texts(&n.Members[i].Value) {
				all = append(all, n.Members[i].Name+"="+value)
			}
		}
		m.query = strings.Join(all, "&")
	}
	e.body(m)
	return m
}

// headers are those of a member, without what proxies on the way say of the client.
func (e event) headers(member string) http.Header {
	h := http.Header{}
	n := e.at(member)
	if n == nil {
		return h
	}
	for i := range n.Members {
		name := http.CanonicalHeaderKey(n.Members[i].Name)
		h[name] = append(h[name], texts(&n.Members[i].Value)...)
	}
	for _, name := range []string{"X-Forwarded-For", "Forwarded", "Transfer-Encoding", "Connection"} {
		delete(h, name)
	}
	return h
}

// address is an IP address as http.Request has it, "" for what is none.
func address(s string) string {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return ""
	}
	return netip.AddrPortFrom(ip, 0).String()
}
