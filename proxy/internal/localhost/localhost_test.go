package localhost_test

import (
	"net/url"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/internal/localhost"
)

func TestIs(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "localhost.example": false, "127.0.0.1.example": false, "127.0.0.1:80": false,
	} {
		if got := localhost.Is(host); got != want {
			t.Errorf("%q: got %v", host, got)
		}
	}
}

func TestExposed(t *testing.T) {
	for address, want := range map[string]bool{
		"http://vault.example": true, "http://10.0.0.1:8200": true, "https://vault.example": false, "http://localhost:8200": false, "http://[::1]:8200": false, "http://127.0.0.1": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := localhost.Exposed(u); got != want {
			t.Errorf("%s: got %t, want %t", address, got, want)
		}
	}
}
