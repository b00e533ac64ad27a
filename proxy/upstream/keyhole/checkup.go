package keyhole

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/policy"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// endsSoon is when a token that nobody here can replace is worth a word.
const endsSoon = time.Hour

// Checkup implements secret.Checker: is a Keyhole there, does it take our login, and do our scopes reach the places. Its
// policies are not asked: they decide on single secrets.
func (n *Node) Checkup(ctx context.Context, places []secret.Place) (c secret.Checkup) {
	issuer, found := n.checkServer(ctx, &c.Time)
	if found == nil {
		c.Good = append(c.Good, "it answers")
		found = n.checkLogin(ctx, &c, issuer, places)
	}
	c.Troubles = append(c.Troubles, found...)
	return c
}

func trouble(what, where, fix string) []secret.Trouble {
	return []secret.Trouble{{What: what, Where: where, Fix: fix}}
}

// checkServer asks for what every Keyhole tells whoever asks (RFC 8414): its name.
func (n *Node) checkServer(ctx context.Context, clock *time.Time) (issuer string, found []secret.Trouble) {
	a, err := n.send(ctx, request{method: http.MethodGet, path: "/.well-known/oauth-authorization-server"}, nil)
	if err != nil {
		return "", trouble(err.Error(), "address", "set the address as this machine reaches it, with http or https as the server speaks; look at tls, routes and firewalls")
	}
	defer a.wipe()
	*clock = a.date()
	if a.code() == api.UnknownRoute {
		return "", nil // a Keyhole without a name, which takes tokens of others alone
	}
	if a.status != http.StatusOK || a.root == nil || a.root.Get("token_endpoint") == nil {
		return "", trouble(fmt.Sprintf("what answers there (%d) is no Keyhole", a.status), "address", "set the URL of its native API, with https where it speaks TLS; a gateway or a login page may stand before it")
	}
	issuer, _ = a.root.Get("issuer").Str()
	return issuer, nil
}

// checkLogin logs in and asks who we are there.
func (n *Node) checkLogin(ctx context.Context, c *secret.Checkup, issuer string, places []secret.Place) []secret.Trouble {
	a, err := n.get(ctx, "/v1/whoami", "")
	if err != nil {
		return trouble(err.Error(), "auth", n.login.kind.fix(issuer))
	}
	defer a.wipe()
	data, err := a.data(strictjson.Object)
	if err != nil {
		return trouble(err.Error(), "address", "look at what stands before the other Keyhole")
	}
	rule, _ := data.Get("trust").Str()
	c.Good = append(c.Good, fmt.Sprintf("it knows us by its trust rule %.64q", rule))
	found := n.checkLife(data)
	scopes := scopesIn(data)
	for _, place := range places {
		at, err := secret.ParsePath(place.At)
		if place.At != "" && err != nil {
			found = append(found, trouble(fmt.Sprintf("%.64q is no path of a Keyhole", place.At), "", "correct the mount's at")...)
			continue
		}
		name := strings.TrimPrefix(place.At+"/**", "/")
		switch {
		case !scopes.CanMatchUnder(policy.Read, at):
			found = append(found, trouble("none of our scopes there lets us read in "+name, "auth", "in the trust rule there, or for the token, grant a scope such as read:"+name)...)
		case scopes.CanMatchUnder(policy.List, at):
			c.Good = append(c.Good, name+": read, list")
		default:
			c.Good = append(c.Good, name+": read")
		}
	}
	return found
}

// checkLife tells of a token that ends with nobody here to replace it.
func (n *Node) checkLife(data *strictjson.Node) []secret.Trouble {
	ends, err := momentIn(data, "expires_at")
	left := ends.Sub(n.wall()).Truncate(time.Second)
	if n.login.kind != byToken || err != nil || ends.IsZero() || left >= endsSoon {
		return nil
	}
	return []secret.Trouble{{
		What: fmt.Sprintf("the token ends in %s", left), Where: "auth.token",
		Fix: "see to it that something writes the next one in time, or log in with key or aws", Minor: true,
	}}
}

func scopesIn(data *strictjson.Node) (all policy.Scopes) {
	n := data.Get("scopes")
	if n == nil || n.Kind != strictjson.Array {
		return nil
	}
	for i := range n.Elems {
		text, _ := n.Elems[i].Str()
		if s, err := policy.ParseScope(text); err == nil {
			all = append(all, s)
		}
	}
	return all
}

// fix says what to do about a login that fails, at a Keyhole of that name.
func (k kind) fix(issuer string) string {
	name := fmt.Sprintf("set audience to what it calls itself (its issuer is %.200q)", issuer)
	switch k {
	case byKey:
		return name + ", and register the key there: keyhole trust add-key"
	case byAWS:
		return name + ", let its trust rule (template: aws) name our role, allow us sts:GetWebIdentityToken, and enable outbound web identity federation in the account: docs/upstreams.md"
	}
	return "get a new token"
}
