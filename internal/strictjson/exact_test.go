package strictjson_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/keyhole-edge/keyhole/internal/strictjson"
)

func TestExactNames(t *testing.T) {
	for size := range 40 {
		var b strings.Builder
		b.WriteString(`{"key":0,"Key":1,"KEY":2`)
		for i := range size {
			fmt.Fprintf(&b, `,"name%d":0`, i)
		}
		n, err := strictjson.Parse([]byte(b.String()+"}"), strictjson.Limits{ExactNames: true})
		if err != nil {
			t.Fatalf("with %d names: %v", size, err)
		}
		if got := []string{string(n.Get("key").Text), string(n.Get("Key").Text), string(n.Get("KEY").Text)}; !reflect.DeepEqual(got, []string{"0", "1", "2"}) {
			t.Errorf("got %q", got)
		}
		if _, err := strictjson.Parse([]byte(b.String()+`,"Key":3}`), strictjson.Limits{ExactNames: true}); !errors.Is(err, strictjson.ErrSyntax) {
			t.Errorf("with %d names: a name twice is taken (%v)", size, err)
		}
	}
}
