package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/keyhole-edge/keyhole/internal/jsontext"
	"github.com/keyhole-edge/keyhole/internal/strictjson"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// endsSoon is when a token that nobody here can replace is worth a word.
const endsSoon = time.Hour

// Checkup implements secret.Checker: is the vault there and open, does it take our login, is the engine the one that is
// configured, and may we read. Each is asked only where the one before holds. What it asks for besides the login is
// allowed by the policy "default".
func (v *kv1) Checkup(ctx context.Context, places []secret.Place) secret.Checkup {
	return v.checkup(ctx, 1, places)
}

// Checkup is that of version 1, and tells whether versions can be told and names listed.
func (v *kv2) Checkup(ctx context.Context, places []secret.Place) secret.Checkup {
	return v.checkup(ctx, 2, places)
}

func (e *engine) checkup(ctx context.Context, version int, places []secret.Place) (c secret.Checkup) {
	steps := []func() (good string, found []secret.Trouble){
		func() (string, []secret.Trouble) { return e.checkServer(ctx, &c.Time) },
		func() (string, []secret.Trouble) { return e.checkLogin(ctx) },
		func() (string, []secret.Trouble) { return e.withToken().checkMount(ctx, version) },
		func() (string, []secret.Trouble) { return e.withToken().checkAccess(ctx, version, places) },
	}
	for _, step := range steps {
		good, found := step()
		c.Troubles = append(c.Troubles, found...)
		if good == "" {
			break
		}
		c.Good = append(c.Good, good)
	}
	return c
}

func trouble(what, where, fix string) []secret.Trouble {
	return []secret.Trouble{{What: what, Where: where, Fix: fix}}
}

// checkServer asks what every server of this kind answers without a login.
func (e *engine) checkServer(ctx context.Context, clock *time.Time) (string, []secret.Trouble) {
	a, err := e.wire.send(ctx, request{method: http.MethodGet, path: "sys/health", query: "standbyok=true&perfstandbyok=true", server: true})
	if err != nil {
		return "", trouble(err.Error(), "address", "set the address as this machine reaches it, with http or https as the server speaks; look at tls, routes and firewalls")
	}
	defer a.wipe()
	*clock = a.date
	switch {
	case a.root == nil || a.root.Get("initialized") == nil && a.root.Get("errors") == nil:
		return "", trouble(fmt.Sprintf("what answers there (%d) is no Vault and no OpenBao", a.status), "address", "set the URL of the vault, with https where it speaks TLS; a gateway or a login page may stand before it")
	case a.status == http.StatusNotImplemented:
		return "", trouble("the vault is not initialised", "address", "initialise and unseal it")
	case a.status == http.StatusServiceUnavailable && a.root.Get("initialized") != nil:
		return "", trouble("the vault is sealed", "address", "unseal it")
	case a.status == statusRecovery:
		return "", trouble("this node is a disaster recovery secondary, which serves no reads", "address", "set the address of the primary cluster")
	}
	return "it answers", nil
}

// statusRecovery is what a node says that only stands by for disasters.
const statusRecovery = 472

// checkLogin logs in, unless the login goes along with each request.
func (e *engine) checkLogin(ctx context.Context) (string, []secret.Trouble) {
	if e.tokens == nil {
		a, err := e.get(ctx, "auth/token/lookup-self", "")
		switch {
		case err == nil:
			a.wipe()
		case !errors.Is(err, secret.ErrDenied): // such a token is not kept and cannot be looked up, but it was made
			return "", e.loginTrouble(err)
		}
		return "it takes the login", nil
	}
	s, err := e.tokens.get(ctx)
	if err != nil {
		return "", e.loginTrouble(err)
	}
	if e.login.path == "" && s.TTL > 0 && s.TTL < endsSoon {
		return "it knows the token", []secret.Trouble{{
			What: fmt.Sprintf("the token ends in %s", s.TTL), Where: "auth.token",
			Fix: "see to it that an agent writes the next one in time, or log in with approle, jwt or kubernetes", Minor: true,
		}}
	}
	return "it takes the login", nil
}

// withToken logs in to ask what a server tells nobody who logs in inline.
func (e *engine) withToken() *engine {
	if e.tokens != nil {
		return e
	}
	return &engine{wire: e.wire, login: e.login, mount: e.mount, polled: e.polled, tokens: newTokens(e.wire, e.login, time.Now)}
}

func (e *engine) loginTrouble(err error) []secret.Trouble {
	switch {
	case errors.Is(err, ErrNoRoute):
		return trouble(err.Error(), "auth", "look at namespace and at auth.mount: one of them is not there")
	case !errors.Is(err, ErrLogin):
		return trouble(err.Error(), "auth", "ask again; the vault's own log says why")
	case e.login.path == "":
		return trouble(err.Error()+": the token has expired, was revoked, or is another vault's", "auth.token", "write a new token; it is read again at the next login")
	default:
		return trouble(err.Error()+": the credential has expired, was used up, or does not belong to the role", "auth",
			"issue a new one; look at the role, at auth.mount and at namespace")
	}
}

// checkMount asks what is mounted there. A server tells nobody who may use nothing of it.
func (e *engine) checkMount(ctx context.Context, version int) (string, []secret.Trouble) {
	a, err := e.get(ctx, "sys/internal/ui/mounts/"+e.mount, "")
	if errors.Is(err, secret.ErrDenied) {
		return "", trouble("there is no engine at "+e.mount+", or the login has no capability in it", "kv.mount", "correct kv.mount or namespace, or attach a policy to the login: docs/upstreams.md")
	}
	if err != nil {
		return "", trouble("asking what is mounted at "+e.mount+": "+err.Error(), "kv.mount", "look at namespace and at what stands before the vault")
	}
	defer a.wipe()
	data, err := a.data()
	if err != nil {
		return "", trouble(err.Error(), "kv.mount", "look at what stands before the vault")
	}
	kind, _ := data.Get("type").Str()
	if kind != "kv" && kind != "generic" {
		return "", trouble(fmt.Sprintf("the engine at %s is of type %.20q, not kv", e.mount, kind), "kv.mount", "set the mount of a key/value engine")
	}
	is := 1
	if options := data.Get("options"); options != nil && options.Kind == strictjson.Object {
		if name, _ := options.Get("version").Str(); name == "2" {
			is = 2
		}
	}
	if is != version {
		return "", trouble(fmt.Sprintf("the engine at %s is of version %d, not %d", e.mount, is, version), "kv.version", fmt.Sprintf("set version: %d", is))
	}
	return fmt.Sprintf("%s is kv version %d", e.mount, is), nil
}

// checkAccess asks what the policies of the login give below each place.
func (e *engine) checkAccess(ctx context.Context, version int, places []secret.Place) (string, []secret.Trouble) {
	var good []string
	var found []secret.Trouble
	for _, place := range places {
		all := e.within(version, place)
		var asked, names []string
		for _, p := range all {
			asked, names = append(asked, p.data, p.metadata), append(names, p.data)
		}
		can, err := e.capabilities(ctx, asked...)
		if err != nil {
			return "", append(found, secret.Trouble{What: "asking for our capabilities: " + err.Error(), Where: "auth", Fix: "allow update on sys/capabilities-self, as the policy default does", Minor: true})
		}
		if can[all[0].data]["root"] {
			return "it lets us do everything", append(found, secret.Trouble{What: "the login is root: whoever takes it has the whole vault", Where: "auth", Fix: "log in with a policy of its own: docs/upstreams.md", Minor: true})
		}
		before := len(good)
		for _, p := range all {
			if can[p.data]["read"] {
				good = append(good, p.data+": "+p.words(can[p.metadata], version))
				found = append(found, e.polling(p, can[p.metadata])...)
			}
		}
		if len(good) == before {
			found = append(found, secret.Trouble{
				What: "the login has no read capability on " + strings.Join(names, " and none on "), Where: "auth",
				Fix: fmt.Sprintf("attach a policy with: path %q { capabilities = [\"read\"] }; where it names single secrets instead, only these are served", all[0].data),
			})
		}
	}
	return strings.Join(good, "; "), found
}

// policyPath is what a policy names to let the secrets of a place be read. In version 1 both paths are the same.
type policyPath struct{ data, metadata string }

// within is what a policy may name for a place: the object itself, where it may be one, and everything below.
func (e *engine) within(version int, place secret.Place) []policyPath {
	below, itself := strings.TrimPrefix(place.At+"/*", "/"), place.At
	names := []string{below}
	if place.Itself && itself != "" {
		names = []string{itself, below}
	}
	var all []policyPath
	for _, name := range names {
		if version == 1 {
			all = append(all, policyPath{e.mount + "/" + name, e.mount + "/" + name})
		} else {
			all = append(all, policyPath{e.mount + "/data/" + name, e.mount + "/metadata/" + name})
		}
	}
	return all
}

// words tell what can be done where the secrets can be read, and these are the capabilities on their metadata.
func (p policyPath) words(metadata map[string]bool, version int) string {
	words := "read"
	if version == 2 && metadata["read"] {
		words += ", previous and versions"
	}
	if metadata["list"] {
		words += ", list"
	}
	return words
}

// polling is what is wrong where versions are asked for of what can be read, and these are the capabilities on its
// metadata. Version 1 has no versions to ask for.
func (e *engine) polling(p policyPath, metadata map[string]bool) []secret.Trouble {
	if !e.polled || metadata["read"] {
		return nil
	}
	return []secret.Trouble{{
		What: "the login has no read capability on " + p.metadata + ", so that polling sees no rotation", Where: "poll",
		Fix: fmt.Sprintf("add to the policy: path %q { capabilities = [\"read\"] }", p.metadata), Minor: true,
	}}
}

// capabilities asks what we may do at paths.
func (e *engine) capabilities(ctx context.Context, paths ...string) (map[string]map[string]bool, error) {
	body := []byte(`{"paths":[`)
	for i, p := range paths {
		if i > 0 {
			body = append(body, ',')
		}
		body = jsontext.AppendString(body, p)
	}
	a, err := e.call(ctx, request{method: http.MethodPost, path: "sys/capabilities-self", body: append(body, "]}"...)})
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	data, err := a.data()
	if err != nil {
		return nil, err
	}
	all := map[string]map[string]bool{}
	for _, p := range paths {
		all[p] = map[string]bool{}
		n := data.Get(p)
		if n == nil || n.Kind != strictjson.Array {
			return nil, malformed("capabilities")
		}
		for i := range n.Elems {
			name, _ := n.Elems[i].Str()
			all[p][name] = true
		}
	}
	return all, nil
}
