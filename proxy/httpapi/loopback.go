package httpapi

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/api"
)

// Loopback makes the native API one for programs of this machine alone: what came from elsewhere, or through a browser, is
// refused before it is looked at. Where the caller is known by what every program of the machine has, nothing else keeps
// out those who can make one of them send a request.
func Loopback(n *Native) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := fromHere(r); err != nil {
			WriteError(w, err)
			return
		}
		n.ServeHTTP(w, r)
	})
}

// fromHere refuses what was not sent by a program of this machine to this machine: what a proxy forwards, what a page in a
// browser sends, and what was addressed to another name, which then resolved to us. "Sec-Fetch-Mode: cors" alone is what the
// fetch of Node.js sends; browsers send Sec-Fetch-Site with it.
func fromHere(r *http.Request) error {
	for name, values := range r.Header {
		switch {
		case name == "X-Forwarded-For", name == "Forwarded", name == "Via":
			return fail(api.InvalidRequest, "Forwarded")
		case name == "Sec-Fetch-Mode" && len(values) == 1 && values[0] == "cors":
		case name == "Origin", strings.HasPrefix(name, "Sec-Fetch-"):
			return errBrowser
		}
	}
	if !isLoopbackHost(r.Host) {
		return fail(api.PolicyDenied, "this address is for programs of this machine: ask for localhost or 127.0.0.1")
	}
	return nil
}

func isLoopbackHost(host string) bool {
	if u, err := url.Parse("//" + host); err == nil {
		host = u.Hostname()
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
