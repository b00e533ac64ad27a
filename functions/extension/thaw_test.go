package main_test

import (
	"fmt"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/awsemu"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/porttest"
)

// sleep freezes the environment while d passes by the wall clock.
func (p *pair) sleep(t *testing.T, clock *proxytest.Clock, d time.Duration) {
	t.Helper()
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	clock.Move(t, d)
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
}

// What is kept is as old as the wall clock says, however long the environment was frozen, wherever it came from.
func TestThaw(t *testing.T) {
	clock := proxytest.NewClock(t)
	emu, address := awsemu.Start(t)
	value := "first"
	emu.PutSecret(awsemu.Region, "apps/DB", &value, nil)
	s, far := region(t, emu)
	token := s.Target().Token(t, map[string]string{"scope": "read:web/production/*"})
	for uri, env := range map[string][]string{
		secretURI: nil,
		ofRegion:  {"KEYHOLE_URL=" + far, "KEYHOLE_TOKEN=" + token},
	} {
		p := setting{aws: emu, address: address, clock: clock, env: append(env, "START=http://127.0.0.1:1")}.ready(t)
		for _, step := range []struct {
			pass time.Duration
			want string
			age  string
		}{{0, "miss", "0"}, {200 * time.Second, "hit", "200"}, {100 * time.Second, "miss", "0"}, {time.Hour / 2, "miss", "0"}} {
			p.sleep(t, clock, step.pass)
			h := p.want(t, uri, 200).Headers
			if state, age := h.Get("X-Keyhole-Cache"), h.Get("Age"); state != step.want || state == "hit" && age < step.age {
				t.Errorf("%s after %v: got a %s of %s s, want a %s of %s", uri, step.pass, state, age, step.want, step.age)
			}
		}
	}
}

// Nothing is left for after the answer, when the environment is frozen: who finds a value past its first time gets a new one.
func TestRefreshIsPartOfTheRequest(t *testing.T) {
	clock, port := proxytest.NewClock(t), porttest.Reserve(t)
	p := setting{clock: clock, env: []string{"START=http://127.0.0.1:1", fmt.Sprintf(`KEYHOLE_CONFIG={"version":1,"listen":{"aws":"127.0.0.1:%s"},
		"upstreams":{"sm":{"type":"secretsmanager"}},"mounts":[{"path":"apps","upstream":"sm","at":"apps","cache":{"soft_ttl":"1m","hard_ttl":"1h"}}],
		"state":{"type":"memory"},"audit":{"sinks":[{"type":"stdout"}]}}`, port)}}.ready(t)
	p.url = "http://127.0.0.1:" + port
	p.want(t, secretURI, 200, "first")
	second := "second"
	p.aws.PutSecret(awsemu.Region, "apps/DB", &second, nil)
	p.sleep(t, clock, 2*time.Minute)
	p.want(t, secretURI, 200, "second")
}

// Values are in the memory of this process, and neither a dump of it nor a debugger of the function's user gets at them.
func TestHardened(t *testing.T) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", setting{}.ready(t).Extensions()[0].PID()))
	if err != nil {
		t.Skip("needs the /proc of Linux: ", err)
	}
	if !regexp.MustCompile(`Max core file size +0 +0 `).Match(text) {
		t.Errorf("got\n%s", text)
	}
}
