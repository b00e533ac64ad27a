package strictjson_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

// refusedOnPurpose are the documents of JSONTestSuite that RFC 8259 lets a parser accept and that this one refuses.
var refusedOnPurpose = map[string]string{
	"y_object_duplicated_key.json":           "names must be unique: two parsers would read two different documents",
	"y_object_duplicated_key_and_value.json": "names must be unique, whatever the values",
}

// TestJSONTestSuite runs nst/JSONTestSuite: y_ must be accepted, n_ refused, and i_ may be either but must not panic.
func TestJSONTestSuite(t *testing.T) {
	dir := os.Getenv("KEYHOLE_VECTORS")
	if dir == "" {
		t.Skip("KEYHOLE_VECTORS does not name the folder of outside test vectors: JSONTestSuite skipped")
	}
	files, err := filepath.Glob(filepath.Join(dir, "jsontestsuite", "test_parsing", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	count := map[byte]int{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		count[name[0]]++
		_, err = strictjson.Parse(data, strictjson.Limits{})
		want := name[0] == 'y' && refusedOnPurpose[name] == ""
		if name[0] != 'i' && (err == nil) != want {
			t.Errorf("%s: accepted %v, want %v: %v", name, err == nil, want, err)
		}
	}
	if count['y'] != 95 || count['n'] != 188 || count['i'] != 35 {
		t.Errorf("ran %d y_, %d n_ and %d i_ documents; want 95, 188 and 35", count['y'], count['n'], count['i'])
	}
}
