package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyhole-edge/keyhole/bench/internal/load"
)

const (
	baoEnv   = "KEYHOLE_BAO"
	baoToken = "bench-root"
)

var errNoBao = errors.New("there is no OpenBao: make test-integration builds one, or set " + baoEnv + " to a binary")

// bao is a real OpenBao in development mode, in memory, on loopback, in a process of its own.
type bao struct {
	*child
	url string
}

// baoBinary is the one that the environment names, or that make test-integration has built.
func baoBinary() (string, error) {
	if path := os.Getenv(baoEnv); path != "" {
		return path, nil
	}
	built, err := filepath.Glob(".cache/tools/bao-v*[0-9]")
	if err != nil || len(built) == 0 {
		return "", errNoBao
	}
	return built[len(built)-1], nil
}

func startBao(ctx context.Context) (*bao, error) {
	binary, err := baoBinary()
	if err != nil {
		return nil, err
	}
	address, err := twoPorts()
	if err != nil {
		return nil, err
	}
	c, err := startChild(ctx, nil, io.Discard, binary, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+baoToken, "-dev-listen-address="+address, "-log-level=error")
	if err != nil {
		return nil, err
	}
	b := &bao{child: c, url: "http://" + address}
	err = c.await(func() bool { return b.put(ctx, "ready") == nil })
	if err != nil {
		c.kill()
		return nil, err
	}
	return b, nil
}

// twoPorts finds a free port whose next one, which the development mode takes as well, is free too.
func twoPorts() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		port := l.Addr().(*net.TCPAddr).Port
		next, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		_ = l.Close()
		if err == nil {
			_ = next.Close()
			return fmt.Sprintf("127.0.0.1:%d", port), nil
		}
	}
	return "", errors.New("no two free ports beside each other")
}

// put stores a secret of valueBytes bytes in the engine of version 2 that the development mode mounts.
func (b *bao) put(ctx context.Context, name string) error {
	body := []byte(`{"data":{"value":"` + strings.Repeat("s", valueBytes) + `"}}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.target(name).URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", baoToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("writing to OpenBao: %s: %s", resp.Status, answer)
	}
	return nil
}

// target is the direct read of a secret.
func (b *bao) target(name string) load.Target {
	return load.Target{URL: b.url + "/v1/secret/data/" + name, Headers: []string{"X-Vault-Token: " + baoToken}, Want: "Cache-Control: no-store"}
}
