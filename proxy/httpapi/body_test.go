package httpapi_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/httpapi"
	"github.com/keyhole-edge/keyhole/proxy/proxytest"
)

const (
	canary   = "canary-7d1f2c9e"
	bodySize = 4 << 20 // the most that a PUT takes
)

// token is one for everything under web/preview.
func token(t *testing.T, s *proxytest.Server) string {
	t.Helper()
	return proxytest.Issuer(s.Config)(t, map[string]string{"scope": "read:web/preview/** write:web/preview/** list:web/preview/**", "base": "web/preview"})
}

// ask sends one request to the handler.
func ask(n *httpapi.Native, w http.ResponseWriter, token, method, target string, body io.Reader) {
	r := httptest.NewRequest(method, target, body)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	n.ServeHTTP(w, r)
}

// A request that says in two ways where its body ends is the last of its connection: what stands behind it, which another
// reader may have taken for its body, is not answered.
func TestNothingIsReadBehindABodyInChunks(t *testing.T) {
	n, s := native(t)
	server := httptest.NewServer(n)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // where it is kept open
	if _, err := fmt.Fprintf(conn, "POST /v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
		"Content-Length: 400\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n"+
		"GET /v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", token(t, s)); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	if got := string(answer); strings.Count(got, "HTTP/1.1 ") != 1 || !strings.Contains(got, "Connection: close\r\n") || !strings.Contains(got, `"invalid_request"`) {
		t.Errorf("got %q, want one answer and the end", got)
	}
}

// A body that ends before it was said to is refused, even where what came is a whole document.
func TestABodyCutShortWritesNothing(t *testing.T) {
	n, s := native(t)
	server := httptest.NewServer(n)
	defer server.Close()
	bearer := token(t, s)
	for i, framing := range []string{
		"Content-Length: 50\r\n\r\n" + `{"value":"x"}`,
		"Transfer-Encoding: chunked\r\n\r\nd\r\n" + `{"value":"x"}` + "\r\n",
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "PUT /v1/secrets/web/preview/K%d HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n%s", i, bearer, framing)
		if err == nil {
			err = conn.(*net.TCPConn).CloseWrite()
		}
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(conn)
		_ = conn.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || !strings.Contains(string(answer), `"invalid_request"`) {
			t.Errorf("%.20q: got %.300q, want 400", framing, answer)
		}
		w := httptest.NewRecorder()
		ask(n, w, bearer, http.MethodGet, fmt.Sprintf("/v1/secrets/web/preview/K%d", i), nil)
		if w.Code != 404 {
			t.Errorf("%.20q: got %d, want nothing written", framing, w.Code)
		}
	}
}

// keptBody remembers the memory that it was read into.
type keptBody struct {
	io.Reader
	memory [][]byte
}

func (b *keptBody) Read(p []byte) (int, error) {
	b.memory = append(b.memory, p)
	return b.Reader.Read(p)
}

// Where a body was, nothing is left: neither in the memory that it outgrew nor past its limit.
func TestBodiesAreWiped(t *testing.T) {
	n, s := native(t)
	bearer := token(t, s)
	for size, status := range map[int]int{100: 201, 20 << 10: 201, bodySize: 413} {
		body := &keptBody{Reader: strings.NewReader(`{"value":"` + strings.Repeat("x", size) + `"}`)}
		w := httptest.NewRecorder()
		ask(n, w, bearer, http.MethodPut, fmt.Sprintf("/v1/secrets/web/preview/SIZE_%d", size), body)
		if w.Code != status {
			t.Errorf("%d bytes: got %d %.200s, want %d", size, w.Code, w.Body, status)
		}
		for i, memory := range body.memory {
			if len(bytes.Trim(memory, "\x00")) > 0 {
				t.Errorf("%d bytes: what read %d gave is still in memory", size, i)
			}
		}
	}
}

// slowBody gives so many bytes, says so, and waits for the end.
type slowBody struct {
	left int
	sent chan<- *httptest.ResponseRecorder // gets nil when the body has stopped
	end  <-chan struct{}
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.sent <- nil
		<-b.end
		return 0, io.ErrUnexpectedEOF
	}
	k := min(len(p), b.left)
	copy(p, bytes.Repeat([]byte("x"), k))
	b.left -= k
	return k, nil
}

// stall sends count bodies at once that announce so many bytes, stop after sent, and so stay in memory. It returns the
// answers of those that were refused, when all that are left wait, and what ends those.
func stall(n *httpapi.Native, count, sent int, announced int64) (refused []*httptest.ResponseRecorder, finish func()) {
	events, end, left := make(chan *httptest.ResponseRecorder, count), make(chan struct{}), make(chan struct{}, count)
	for range count {
		go func() {
			defer func() { left <- struct{}{} }()
			body := &slowBody{left: sent, sent: events, end: end}
			r := httptest.NewRequest(http.MethodPut, "/v1/secrets/web/preview/K", body)
			r.ContentLength = announced
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			n.ServeHTTP(w, r)
			if body.left > 0 { // otherwise it has been counted
				events <- w
			}
		}()
	}
	for range count {
		if w := <-events; w != nil {
			refused = append(refused, w)
		}
	}
	return refused, func() {
		close(end)
		for range count {
			<-left
		}
	}
}

// All bodies together have a bound, which is given back with them.
func TestMemoryForBodiesIsBounded(t *testing.T) {
	n, s := native(t)
	refused, finish := stall(n, 24, bodySize-1, -1)
	if len(refused) < 24-12 || len(refused) == 24 {
		t.Errorf("of 24 bodies of 4 MiB %d were refused, want those over 48 MiB", len(refused))
	}
	small := httptest.NewRecorder()
	ask(n, small, token(t, s), http.MethodPut, "/v1/secrets/web/preview/SMALL", strings.NewReader(`{"value":"`+strings.Repeat("x", 50<<10)+`"}`))
	if small.Code != 201 {
		t.Errorf("a small body meanwhile: got %d %s, want 201", small.Code, small.Body)
	}
	for _, w := range refused {
		if w.Code != 503 || !strings.Contains(w.Body.String(), `"overloaded"`) || w.Header().Get("Retry-After") == "" {
			t.Errorf("got %d %v %s, want overloaded and when to come again", w.Code, w.Header(), w.Body)
		}
	}
	finish()
	// Twelve of 4 MiB are just the bound: whatever was not given back is missed.
	refused, finish = stall(n, 12, bodySize-1, -1)
	finish()
	if len(refused) != 0 {
		t.Errorf("after them, of 12 bodies of 4 MiB %d were refused, want none", len(refused))
	}
	w := httptest.NewRecorder()
	ask(n, w, token(t, s), http.MethodPut, "/v1/secrets/web/preview/K", strings.NewReader(`{"value":"x"}`))
	if w.Code != 201 {
		t.Errorf("at the end: got %d %s, want 201", w.Code, w.Body)
	}
}

// A body takes memory as it comes, not as it is announced.
func TestAnnouncedBytesTakeNoMemory(t *testing.T) {
	n, _ := native(t)
	refused, finish := stall(n, 200, 1, bodySize)
	finish()
	if len(refused) != 0 {
		t.Errorf("of 200 bodies that announce 4 MiB and send a byte %d were refused, want none", len(refused))
	}
}

// keeper is a ResponseWriter that keeps the buffer it was given, not a copy.
type keeper struct {
	*httptest.ResponseRecorder
	kept []byte
}

func (k *keeper) Write(b []byte) (int, error) {
	k.kept = b
	return k.ResponseRecorder.Write(b)
}

// The buffer of an answer holds the value no longer than the answer takes.
func TestTheBufferOfAnAnswerIsWiped(t *testing.T) {
	n, s := native(t)
	bearer := token(t, s)
	large := canary + strings.Repeat("x", 200<<10)
	for name, body := range map[string]string{
		"K": `{"value":"` + canary + `"}`, "LARGE": `{"value":"` + large + `"}`, "DB": `{"fields":{"password":"` + canary + `"}}`,
	} {
		ask(n, httptest.NewRecorder(), bearer, http.MethodPut, "/v1/secrets/web/preview/"+name, strings.NewReader(body))
		for _, target := range []string{"/v1/secrets/web/preview/", "/api/runtime/secrets/"} {
			w := &keeper{ResponseRecorder: httptest.NewRecorder()}
			ask(n, w, bearer, http.MethodGet, target+name, nil)
			if w.Code != 200 || !strings.Contains(w.Body.String(), canary) || len(w.kept) == 0 {
				t.Fatalf("%s%s: got %d %.200s", target, name, w.Code, w.Body)
			}
			if len(bytes.Trim(w.kept[:cap(w.kept)], "\x00")) > 0 {
				t.Errorf("%s%s: the buffer still holds the answer", target, name)
			}
		}
	}
}

// A cursor tells nothing of the path behind which it stands.
func TestACursorIsSealed(t *testing.T) {
	n, s := native(t)
	bearer := token(t, s)
	for _, name := range []string{"SECRET_NAME", "Z"} {
		ask(n, httptest.NewRecorder(), bearer, http.MethodPut, "/v1/secrets/web/preview/"+name, strings.NewReader(`{"value":"x"}`))
	}
	cursor := func() string {
		w := httptest.NewRecorder()
		ask(n, w, bearer, http.MethodGet, "/v1/secrets?limit=1", nil)
		var answer struct {
			NextPage string `json:"next_page"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.NextPage == "" {
			t.Fatalf("got %s (%v), want a cursor", w.Body, err)
		}
		return answer.NextPage
	}
	first := cursor()
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || strings.Contains(first+string(raw), "SECRET") || first == cursor() {
		t.Errorf("got %q (%q, %v), want what only the server can read, and never twice", first, raw, err)
	}
}

// Nor does its length: a path that is not shown stands before the one that is, and the cursor is as long as without it.
func TestACursorTellsNothingByItsLength(t *testing.T) {
	n, s := native(t)
	writer := token(t, s)
	for _, name := range []string{"A", "Z"} {
		ask(n, httptest.NewRecorder(), writer, http.MethodPut, "/v1/secrets/web/preview/"+name, strings.NewReader(`{"value":"x"}`))
	}
	lister := proxytest.Issuer(s.Config)(t, map[string]string{"scope": "list:web/preview/A list:web/preview/Z"})
	page := func(query string) (string, string) {
		w := httptest.NewRecorder()
		ask(n, w, lister, http.MethodGet, "/v1/secrets?prefix=web/preview&limit=1"+query, nil)
		var answer struct {
			Data     []struct{ Path string }
			NextPage string `json:"next_page"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer.Data) != 1 {
			t.Fatalf("got %s (%v), want one path", w.Body, err)
		}
		return answer.Data[0].Path, answer.NextPage
	}
	_, without := page("")
	ask(n, httptest.NewRecorder(), writer, http.MethodPut, "/v1/secrets/web/preview/HIDDEN_NAME", strings.NewReader(`{"value":"x"}`))
	_, with := page("")
	if len(with) != len(without) {
		t.Errorf("the cursor has %d bytes, and %d where a path that is not shown stands before it", len(without), len(with))
	}
	if last, next := page("&page=" + with); last != "web/preview/Z" || next != "" {
		t.Errorf("it continues with %q and %q, want web/preview/Z and no more", last, next)
	}
}
