package devdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrInUse is wrapped where another process works in the directory. Use its server, or stop it.
var ErrInUse = errors.New("the directory is in use")

// Lock keeps other servers, and commands that work without one, out of a directory.
type Lock struct{ f *os.File }

// TakeLock locks dir or fails with ErrInUse, naming the process that holds it. The lock goes with the process,
// whatever ends it.
func TakeLock(dir string) (*Lock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the directory: %w", err)
	}
	if err := lockFile(f); err != nil {
		pid, _ := os.ReadFile(path)
		_ = f.Close()
		return nil, fmt.Errorf("%w: process %s works in %s", ErrInUse, strings.TrimSpace(string(pid)), dir)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking the directory: %w", err)
	}
	// A server that was killed leaves its note behind, and it would point to whoever has the port now.
	if err := os.Remove(filepath.Join(dir, serverFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = f.Close()
		return nil, fmt.Errorf("locking the directory: %w", err)
	}
	return &Lock{f}, nil
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// Release unlocks. The file stays: removing it would let two processes lock two files of one name.
func (l *Lock) Release() error { return l.f.Close() }

// Server is where the server of a directory answers.
type Server struct {
	PID    int    `json:"pid"`
	Native string `json:"native"` // URL
	Admin  string `json:"admin"`  // URL, "" where the listener is off
	AWS    string `json:"aws,omitempty"`
}

const serverFile = "server.json"

// Announce writes server.json; the function it returns removes it. Whoever holds the lock calls it.
func Announce(dir string, s Server) (func(), error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, serverFile)
	temp := path + ".new"
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(path) }, nil
}

// Find reads server.json of whoever holds the lock now. It means something only while the directory is locked.
func Find(dir string) (s Server, ok bool, err error) {
	data, err := os.ReadFile(filepath.Join(dir, serverFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	holder, _ := os.ReadFile(filepath.Join(dir, "lock"))
	return s, err == nil && s.Native != "" && strings.TrimSpace(string(holder)) == strconv.Itoa(s.PID), err
}

// Holder is the process that works in dir, 0 where none does. Nothing is changed for the answer.
func Holder(dir string) (pid int, err error) {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // and with it the lock
	if err := lockShared(f); err == nil {
		return 0, nil
	}
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
