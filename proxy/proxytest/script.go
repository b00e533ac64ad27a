package proxytest

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A script is a text file of HTTP exchanges and what must come back. Lines:
//
//	# comment
//	@ token NAME key=value …        mint a token; ${NAME} stands for it from here on
//	@ put PATH JSON                 write a secret through the native API; the JSON has no spaces
//	> GET /path HTTP-less request line, then headers
//	> Header: value
//	>> body line (several make one body)
//	< 200                           status
//	< Header: value                 exactly; "*" any value; "-" absent
//	<< {"json":"template"}          the whole body; "*" matches any value, "$NAME=" any string and keeps it as ${NAME}
//	<< -                            an empty body
//	<<= text                        the whole body, byte for byte
//
// An exchange ends where the next ">" request or directive begins. Every expectation names its line when it fails.
type script struct {
	name  string
	steps []step
}

type step struct {
	line      int
	directive []string // @ words
	method    string
	target    string
	headers   [][2]string
	body      string
	hasBody   bool
	status    string
	want      [][2]string
	wantBody  string
	wantText  string
	wantEmpty bool
}

func parseScript(t testing.TB, file string) script {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	s := script{name: file}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 8<<20)
	for n := 1; lines.Scan(); n++ {
		if err := s.add(n, lines.Text()); err != nil {
			t.Fatalf("%s:%d: %v", file, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return s
}

func (s *script) add(n int, line string) error {
	mark, text, _ := strings.Cut(line, " ")
	var cur *step
	if len(s.steps) > 0 {
		cur = &s.steps[len(s.steps)-1]
	}
	switch {
	case mark == "" || mark == "#" || strings.HasPrefix(mark, "#"):
		return nil
	case mark == "@":
		s.steps = append(s.steps, step{line: n, directive: strings.Fields(text)})
		return nil
	case mark == ">" && (cur == nil || cur.directive != nil || cur.status != ""):
		method, target, ok := strings.Cut(text, " ")
		if !ok {
			return fmt.Errorf("want > METHOD TARGET")
		}
		s.steps = append(s.steps, step{line: n, method: method, target: target})
		return nil
	case cur == nil || cur.directive != nil:
		return fmt.Errorf("%q outside an exchange", mark)
	case mark == ">" || mark == "<" && cur.status != "":
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			return fmt.Errorf("want Header: value")
		}
		h := [2]string{name, strings.TrimSpace(value)}
		if mark == ">" {
			cur.headers = append(cur.headers, h)
		} else {
			cur.want = append(cur.want, h)
		}
	case mark == ">>":
		if cur.hasBody {
			cur.body += "\n"
		}
		cur.body, cur.hasBody = cur.body+text, true
	case mark == "<":
		cur.status = text
	case mark == "<<=":
		cur.wantText = text
	case mark == "<<" && text == "-":
		cur.wantEmpty = true
	case mark == "<<":
		cur.wantBody += text
	default:
		return fmt.Errorf("unknown mark %q", mark)
	}
	return nil
}

var variable = regexp.MustCompile(`\$\{([a-zA-Z0-9_]+)\}`)

// expand replaces ${NAME}; ${a*1000} style repetition is spelled ${NAME} of a directive "@ repeat NAME TEXT COUNT".
func expand(vars map[string]string, text string) (string, error) {
	var missing string
	out := variable.ReplaceAllStringFunc(text, func(m string) string {
		v, ok := vars[m[2:len(m)-1]]
		if !ok {
			missing = m
		}
		return v
	})
	if missing != "" {
		return "", fmt.Errorf("%s is not set", missing)
	}
	return out, nil
}
