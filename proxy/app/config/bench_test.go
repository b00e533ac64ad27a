package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// BenchmarkJSON is what a function pays at its start.
func BenchmarkJSON(b *testing.B) {
	text := readFile(b, "full.json")
	b.ReportAllocs()
	for b.Loop() {
		doc, err := config.ReadJSON("k.json", text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := doc.Decode(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkManyRules is a document of ten thousand trust rules.
func BenchmarkManyRules(b *testing.B) {
	var rules strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&rules, `,{"name":"r%d","template":"vercel","with":{"team":"a","owner_id":"t","project_id":"p%d","environments":["production"]},"map":{"base":"web/{environment}","scope":["read:web/{environment}/*"]}}`, i, i)
	}
	text := []byte(`{"version":1,"identity":{"audience":"https://keyhole.example","trust":[` + rules.String()[1:] + `]},"audit":{"key":"env:A","sinks":[{"type":"stdout"}]}}`)
	for b.Loop() {
		doc, err := config.ReadJSON("k.json", text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := doc.Decode(); err != nil {
			b.Fatal(err)
		}
	}
}
