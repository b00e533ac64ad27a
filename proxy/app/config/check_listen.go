package config

import "slices"

func (k *checker) listen() {
	l := &k.c.Listen
	p := root("listen")
	type at struct{ name, address string }
	taken := []at{{"admin", l.Admin}, {"aws", l.AWS.Address}}
	if l.Admin != "" && !IsLoopback(l.Admin) {
		k.conflict(p.key("admin"), "must be a loopback address such as 127.0.0.1:8641: it shows what no client may see", "")
	}
	if l.AWS.Address != "" && !IsLoopback(l.AWS.Address) {
		k.conflict(p.key("aws").key("address"), "must be a loopback address such as 127.0.0.1:2773: the dialect has no encryption, and its clients look for it on their own machine", "")
	}
	for _, x := range []struct {
		name string
		*Listener
		behindTLS bool
	}{{"native", &l.Native, l.FromPort}, {"vault", &l.Vault, false}} {
		address := p.key(x.name).key("address")
		switch {
		case x.Address == "" && x.TLS != nil:
			k.conflict(address, "is needed with tls; want HOST:PORT such as 127.0.0.1:8640", "")
		case x.Address == "" || x.TLS != nil || x.behindTLS || l.InsecureHTTP || IsLoopback(x.Address):
		default:
			k.conflict(address, "plain HTTP on an address that is not loopback; give tls, or set listen.insecure_http: true", "", p.key("insecure_http"))
		}
		taken = append(taken, at{x.name, x.Address})
	}
	for i, a := range taken {
		_, port, _ := splitAddress(a.address)
		if j := slices.IndexFunc(taken[:i], func(b at) bool { return b.address == a.address }); j >= 0 && port != 0 {
			// A default is not what anyone has to change.
			here, there := a.name, taken[j].name
			if !locate(k.doc.root, p.key(here)).found {
				here, there = there, here
			}
			k.conflict(p.key(here).key("address"), "listen."+there+" has the same address", "")
		}
	}
}
