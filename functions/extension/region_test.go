package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/porttest"
)

const ofRegion = "/secretsmanager/get?secretId=web/production/DB"

// before stands before a region and lets it fail.
func before(t *testing.T, region string) *proxytest.FaultProxy {
	t.Helper()
	u, err := url.Parse(region)
	if err != nil {
		t.Fatal(err)
	}
	return proxytest.NewFaultProxy(t, u.Host)
}

// becomes asks until the answer has this state, "" for none: it is for what comes with time. No value on the way that
// the extension had kept may say that it is bound seconds old, or more.
func (p *pair) becomes(t *testing.T, status int, state string, bound int) answer {
	t.Helper()
	for {
		a := p.get(t, ofRegion)
		had := a.Headers.Get("X-Keyhole-Cache")
		if age, _ := strconv.Atoi(a.Headers.Get("Age")); had != "miss" && age >= bound {
			t.Fatalf("a value that is %d seconds old was served, %s", age, had)
		}
		if a.Status == status && had == state {
			return a
		}
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// A client's key in KEYHOLE_KEY shows the region who the function is.
func TestRegionByKey(t *testing.T) {
	key, err := identity.NewClientKey("worker")
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Private()
	if err != nil {
		t.Fatal(err)
	}
	emu, address := awsemu.Start(t)
	s, far := regionWith(t, emu, "\n    - {name: worker, template: key, with: {client_id: worker}, jwks: \"file:keys/worker.jwks.json\", map: {scope: [\"read:web/production/*\"]}}", map[string][]byte{
		"worker": []byte(`{"keys":[` + string(public) + `]}`),
	})
	p := setting{aws: emu, address: address, env: []string{"KEYHOLE_URL=" + far, "KEYHOLE_KEY=" + string(private)}}.ready(t)
	p.want(t, ofRegion, 200, `"SecretString":"of the region"`)
	emu.Federate(awsemu.Federation{}) // it was not by the role
	p.want(t, "/secretsmanager/get?secretId=web/production/NONE", 400, "ResourceNotFoundException")
	log, err := os.ReadFile(filepath.Join(s.Dir, "audit/audit.jsonl"))
	if err != nil || !strings.Contains(string(log), `"trust":"worker"`) {
		t.Errorf("the region's log has no read of the worker: %v\n%s", err, log)
	}
}

// While the region is gone the extension stays, and serves what it has up to its bound: then it says so, and goes on when
// the region is back.
func TestRegionThatGoesDown(t *testing.T) {
	clock := proxytest.NewClock(t)
	emu, address := awsemu.Start(t)
	s, far := region(t, emu)
	front := before(t, far)
	port := porttest.Reserve(t)
	document := fmt.Sprintf(`{"version":1,"listen":{"aws":"127.0.0.1:%s"},
		"upstreams":{"region":{"type":"keyhole","address":"http://%s","auth":{"method":"token","token":"env:KEYHOLE_TOKEN"}}},
		"mounts":[{"path":"","upstream":"region","cache":{"soft_ttl":"1m","hard_ttl":"1m","stale_if_error":"1h"}}],
		"state":{"type":"memory"},"audit":{"sinks":[{"type":"stdout","required":true}]}}`, port, front.Address)
	p := setting{aws: emu, address: address, clock: clock, env: []string{"START=http://127.0.0.1:1", "KEYHOLE_CONFIG=" + document, "KEYHOLE_TOKEN=" + s.Target().Token(t, map[string]string{"scope": "read:web/production/*"})}}.ready(t)
	p.url = "http://127.0.0.1:" + port
	p.want(t, ofRegion, 200, "of the region")
	front.Set(t, proxytest.Fault{Down: true})
	p.want(t, ofRegion, 200, "of the region")
	p.sleep(t, clock, 2*time.Minute)
	if got := p.want(t, ofRegion, 200, "of the region").Headers.Get("X-Keyhole-Cache"); got != "stale" {
		t.Errorf("without the region: got a %q", got)
	}
	p.sleep(t, clock, time.Hour)
	p.want(t, ofRegion, 502, "ConnectionError")
	front.Set(t, proxytest.Fault{})
	p.becomes(t, 200, "miss", 3600).want(t, "with the region again", 200, "of the region")
	p.Shutdown()
	if code := p.Extensions()[0].ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// What the region revokes is refused within the time that values are kept, and does not come back when the region goes.
func TestRegionRevokes(t *testing.T) {
	emu, address := awsemu.Start(t)
	s, far := region(t, emu)
	front := before(t, far)
	token := s.Target().Token(t, map[string]string{"scope": "read:web/production/*"})
	p := setting{aws: emu, address: address, env: []string{"KEYHOLE_URL=http://" + front.Address, "KEYHOLE_TOKEN=" + token, "SECRETS_MANAGER_TTL=1"}}.ready(t)
	p.want(t, ofRegion, 200, "of the region")
	tell(t, s, http.MethodPost, "/v1/revocations", "revoke:**", `{"secret":"web/production/DB","reason":"leaked"}`)
	p.becomes(t, 502, "", 1)
	front.Set(t, proxytest.Fault{Down: true})
	p.want(t, ofRegion, 502, "ConnectionError")
}
