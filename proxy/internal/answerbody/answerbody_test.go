package answerbody_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/keyhole-edge/keyhole/proxy/internal/answerbody"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// spy keeps the buffers that it was asked to read into.
type spy struct {
	io.Reader
	seen [][]byte
}

func (s *spy) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	s.seen = append(s.seen, b[:n:n])
	return n, err
}

// left is how many bytes are left where s read them, but for those that are part of result.
func (s *spy) left(result []byte) (n int) {
	for _, b := range s.seen {
		if len(b) > 0 && len(result) > 0 && within(b, result) {
			continue
		}
		n += len(b) - bytes.Count(b, []byte{0})
	}
	return n
}

// within reports whether b is a part of whole in memory.
func within(b, whole []byte) bool {
	for i := range whole {
		if &whole[i] == &b[0] {
			return true
		}
	}
	return false
}

func TestRead(t *testing.T) {
	const most = 100 << 10
	cut := errors.New("cut")
	for name, row := range map[string]struct {
		size    int
		length  int64
		ends    error
		want    error
		wantLen int
	}{
		"empty":                         {0, 0, nil, nil, 0},
		"announced":                     {5000, 5000, nil, nil, 5000},
		"announced shorter":             {5000, 10, nil, nil, 5000},
		"announced longer":              {10, 5000, nil, nil, 10},
		"not announced":                 {5000, -1, nil, nil, 5000},
		"not announced, long":           {80 << 10, -1, nil, nil, 80 << 10},
		"the most":                      {most, -1, nil, nil, most},
		"the most, announced":           {most, most, nil, nil, most},
		"too long":                      {most + 1, -1, nil, answerbody.ErrTooLong, 0},
		"too long, announced":           {most + 1, most + 1, nil, answerbody.ErrTooLong, 0},
		"too long, announced shorter":   {2 * most, 10, nil, answerbody.ErrTooLong, 0},
		"announced too long, yet short": {1, most + 1, nil, answerbody.ErrTooLong, 0},
		"cut":                           {50 << 10, -1, cut, cut, 0},
	} {
		text := strings.Repeat("s", row.size)
		var r io.Reader = strings.NewReader(text)
		if row.ends != nil {
			r = io.MultiReader(r, iotest.ErrReader(row.ends))
		}
		for way, r := range map[string]*spy{
			"as it comes": {Reader: r},
			"in halves":   {Reader: iotest.HalfReader(strings.NewReader(text))},
		} {
			if way == "in halves" && row.ends != nil {
				continue
			}
			got, err := answerbody.Read(r, row.length, most)
			if !errors.Is(err, row.want) || len(got) != row.wantLen || string(got) != text[:row.wantLen] {
				t.Errorf("%s, %s: got %d bytes, %v; want %d, %v", name, way, len(got), err, row.wantLen, row.want)
			}
			if n := r.left(got); n > 0 {
				t.Errorf("%s, %s: %d bytes are left in memory", name, way, n)
			}
		}
	}
	if !errors.Is(answerbody.ErrTooLong, secret.ErrTooLarge) {
		t.Error("ErrTooLong is no secret.ErrTooLarge")
	}
}

// Neither a header that promises little nor one that promises nothing makes a small bound larger.
func TestReadSmall(t *testing.T) {
	for size, want := range map[int]error{3: nil, 4: answerbody.ErrTooLong} {
		if _, err := answerbody.Read(strings.NewReader("abcd"[:size]), -1, 3); !errors.Is(err, want) {
			t.Errorf("%d bytes of 3: got %v, want %v", size, err, want)
		}
	}
}
