package jwks_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/identity/jwks"
)

func TestPlacesOfKeys(t *testing.T) {
	for _, tc := range []struct {
		uri           string
		public, local string // what is wrong with it, also where allow_private is set; "" is nothing
	}{
		{"https://issuer.example/jwks.json", "", ""},
		{"https://issuer.example:443/jwks.json", "", ""},
		{"https://issuer.example", "", ""},
		{"https://issuer_1.example.xn--p1ai/a%20b?tenant=1&x=%2f", "", ""},
		{"https://kubernetes.default.svc/openid/v1/jwks", "", ""},
		{"https://issuer.example:8443/jwks.json", "port", ""},
		{"https://issuer.example:/jwks.json", "port", "port"},
		{"https://10.0.0.1/jwks.json", "address", ""},
		{"https://93.184.216.34/jwks.json", "address", ""},
		{"https://[::1]/jwks.json", "address", ""},
		{"https://[::1]:8443/jwks.json", "port", ""},
		{"https://[fe80::1%25eth0]/jwks.json", "address", "address"},
		{"https://2130706433/jwks.json", "address", "address"},
		{"https://0x7f.1/jwks.json", "address", "address"},
		{"https://127.1/jwks.json", "address", "address"},
		{"http://issuer.example/jwks.json", "https", "https"},
		{"file:///etc/passwd", "https", "https"},
		{"//issuer.example/jwks.json", "https", "https"},
		{"issuer.example/jwks.json", "https", "https"},
		{"https:issuer.example", "host", "host"},
		{"https:///jwks.json", "host", "host"},
		{"https://a..b/jwks.json", "host", "host"},
		{"https://issuer.example./jwks.json", "host", "host"},
		{"https://user@issuer.example/jwks.json", "user", "user"},
		{"https://user:password@issuer.example/jwks.json", "user", "user"},
		{"https://issuer.example/jwks.json#", "fragment", "fragment"},
		{"https://issuer.example/jwks.json#keys", "fragment", "fragment"},
		{"https://issuer.example/a b", "spaces", "spaces"},
		{"https://issuer.example\\@10.0.0.1/", "backslashes", "backslashes"},
		{"https://issuer.example/\r\nHost: x", "control", "control"},
		{"https://bücher.example/", "ASCII", "ASCII"},
		{"https://issuer.example/%zz", "URL", "URL"},
		{"https://issuer.example/" + strings.Repeat("a", 2048), "longer", "longer"},
	} {
		for private, want := range map[bool]string{false: tc.public, true: tc.local} {
			s, err := jwks.New(jwks.Config{Issuer: "https://issuer.example", JWKSURI: tc.uri, AllowPrivate: private})
			switch {
			case err == nil:
				closeSource(t, s)
				if want != "" {
					t.Errorf("%s (private %t) is taken", tc.uri, private)
				}
			case want == "":
				t.Errorf("%s (private %t): %v", tc.uri, private, err)
			case !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "jwks_uri: "):
				t.Errorf("%s (private %t): got %q, want a word of %q", tc.uri, private, err, want)
			}
		}
	}
}

func TestIssuers(t *testing.T) {
	for iss, want := range map[string]string{
		"":                                 "issuer",
		strings.Repeat("a", 513):           "512",
		"accounts.example":                 "jwks_uri", // says what to do
		"https://issuer.example?a=b":       "query",
		"https://issuer.example?":          "query",
		"https://issuer.example/#":         "fragment",
		"https://10.0.0.1":                 "address",
		"https://issuer.example:8443":      "port",
		"https://issuer.example":           "",
		"https://issuer.example/tenant/1/": "",
	} {
		s, err := jwks.New(jwks.Config{Issuer: iss})
		if err == nil {
			closeSource(t, s)
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want a word of %q", iss, err, want)
		}
	}
	s, err := jwks.New(jwks.Config{Issuer: "accounts.example", JWKSURI: "https://keys.example"})
	if err != nil {
		t.Fatal(err)
	}
	closeSource(t, s)
}

func TestAddresses(t *testing.T) {
	const no, private, public = 0, 1, 2
	for address, want := range map[string]int{
		"93.184.216.34": public, "1.1.1.1": public, "172.15.255.255": public, "172.32.0.0": public, "100.63.255.255": public,
		"192.0.1.0": public, "223.255.255.255": public, "169.253.255.255": public, "2606:4700::1111": public, "2a00:1450::8a": public,
		"::ffff:1.1.1.1": public, "64:ff9b::1.1.1.1": public,

		"127.0.0.1": private, "127.255.255.254": private, "10.0.0.1": private, "172.16.0.1": private, "172.31.255.255": private,
		"192.168.0.1": private, "100.64.0.1": private, "100.127.255.255": private, "::1": private, "fc00::1": private,
		"fd00:ec3::254": private, "fd20:ce::253": private, "100.100.100.201": private, "::ffff:127.0.0.1": private, "::ffff:10.0.0.1": private, "64:ff9b::127.0.0.1": private, "64:ff9b::10.0.0.1": private,

		"fd00:ec2::254": no, "fd20:ce::254": no, "100.100.100.200": no, "::ffff:100.100.100.200": no,
		"169.254.169.254": no, "::ffff:169.254.169.254": no, "64:ff9b::169.254.169.254": no, "169.254.170.2": no, "0.0.0.0": no, "0.1.2.3": no,
		"224.0.0.1": no, "239.255.255.255": no, "240.0.0.1": no, "255.255.255.255": no, "192.0.0.192": no, "192.0.2.1": no,
		"198.18.0.1": no, "198.51.100.1": no, "203.0.113.1": no, "192.88.99.1": no,
		"::": no, "::127.0.0.1": no, "::ffff:0:127.0.0.1": no, "fe80::1": no, "fe80::1%eth0": no, "fec0::1": no, "ff02::1": no, "64:ff9b:1::10.0.0.1": no,
		"2002:7f00:1::": no, "2002:a9fe:a9fe::1": no, "2002:101:101::": no, "2001::1": no, "2001:db8::1": no, "3fff::1": no,
		"4000::1": no, "100::1": no,
	} {
		a := netip.MustParseAddr(address)
		if got := jwks.Taken(a, false); got != (want == public) {
			t.Errorf("%s: taken is %t", address, got)
		}
		if got := jwks.Taken(a, true); got != (want != no) {
			t.Errorf("%s where private ones are allowed: taken is %t", address, got)
		}
	}
	if jwks.Taken(netip.Addr{}, true) {
		t.Error("no address is taken")
	}
}

func TestFreshness(t *testing.T) {
	for _, tc := range []struct {
		control, age string
		want         time.Duration
	}{
		{"", "", 5 * time.Minute},
		{"max-age=600", "", 10 * time.Minute},
		{"public, max-age=600, must-revalidate", "", 10 * time.Minute},
		{"PUBLIC,MAX-AGE=600", "", 10 * time.Minute},
		{`max-age="600"`, "", 10 * time.Minute},
		{`foo="a, b",max-age=600`, "", 10 * time.Minute},
		{"max-age=600", "120", 8 * time.Minute},
		{"max-age=600", "590", 5 * time.Minute},
		{"max-age=600", "999999999999999999999", 5 * time.Minute},
		{"max-age=600", "-5", 10 * time.Minute},
		{"max-age=0", "", 5 * time.Minute},
		{"max-age=299", "", 5 * time.Minute},
		{"max-age=86400", "", 24 * time.Hour},
		{"max-age=86401", "", 24 * time.Hour},
		{"max-age=31536000", "", 24 * time.Hour},
		{"max-age=99999999999999999999", "", 24 * time.Hour},
		{"max-age=3600, max-age=600", "", 10 * time.Minute},
		{"max-age=600|max-age=3600", "", 10 * time.Minute},
		{"max-age=3600, no-store", "", 5 * time.Minute},
		{"no-cache, max-age=3600", "", 5 * time.Minute},
		{`no-cache="x", max-age=3600`, "", 5 * time.Minute},
		{"max-age=3600|No-Store", "", 5 * time.Minute},
		{"max-age", "", 5 * time.Minute},
		{"max-age=", "", 5 * time.Minute},
		{"max-age=-1", "", 5 * time.Minute},
		{"max-age=+3600", "", 5 * time.Minute},
		{"max-age=1e5", "", 5 * time.Minute},
		{"max-age=3600, max-age=x", "", 5 * time.Minute},
		{"s-maxage=3600", "", 5 * time.Minute},
	} {
		h := http.Header{"Cache-Control": strings.Split(tc.control, "|")}
		if tc.age != "" {
			h.Set("Age", tc.age)
		}
		if got := jwks.Freshness(h); got != tc.want {
			t.Errorf("%q with Age %q: got %v, want %v", tc.control, tc.age, got, tc.want)
		}
	}
}
