package doctor_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/devdir"
	"github.com/keyhole-edge/keyhole/proxy/app/doctor"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

func TestIssuers(t *testing.T) {
	dir, c := setUp(t)
	up, down, empty := oidcemu.New(t, oidcemu.NewKey("ES256", "1")), oidcemu.New(t), oidcemu.New(t)
	down.SetDown(true)
	bundled := oidcemu.New(t)
	bundled.SetDown(true)
	put(t, dir, "bundled.jwks", string(oidcemu.JWKS(oidcemu.NewKey("ES256", "1"))))
	rule := func(name string, i *oidcemu.Issuer, more string) string {
		return fmt.Sprintf("    - {name: %s, issuer: %q, ca: %q, allow_private: true, algs: [ES256], require: {project_id: [p]}, map: {scope: [\"read:web/*\"]}%s}\n", name, i.URL, "file:"+i.CAFile, more)
	}
	rules := rule("a", up, "") + rule("b", down, "") + rule("c", empty, "") + rule("d", bundled, `, jwks: "file:bundled.jwks"`)
	put(t, dir, devdir.ConfigFile, strings.Replace(proxytest.Document, "upstreams:\n", "  trust:\n"+rules+"upstreams:\n", 1))
	want := map[string]doctor.Status{up.URL: doctor.OK, down.URL: doctor.Fail, empty.URL: doctor.Fail, bundled.URL: doctor.Warn}
	for _, f := range doctor.Examine(t.Context(), c) {
		if f.Check != "issuers" {
			continue
		}
		for url, status := range want {
			if strings.Contains(f.What, url) {
				delete(want, url)
				if f.Status != status || (f.Fix == "") != (status == doctor.OK) {
					t.Errorf("got %+v; want %s", f, status)
				}
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("nothing is said of %v", want)
	}
}
