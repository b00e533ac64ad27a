package app

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/proxy"
	"github.com/keyhole-edge/keyhole/proxy/api"
	"github.com/keyhole-edge/keyhole/proxy/httpapi"
)

// snapshotter is an upstream that can copy itself while it serves. What it writes is as secret as its file.
type snapshotter interface {
	Snapshot(ctx context.Context, to func(bytes int64) (io.Writer, error)) error
}

// leastCopyRate is how many bytes a second whoever takes a backup must take: the vault may wait for it.
const leastCopyRate = 1 << 20

// backup answers with the file of a vault, as it is at one moment. Its token must permit to read and to list everything.
func (a *App) backup(w http.ResponseWriter, r *http.Request) {
	err := a.sendBackup(w, r)
	if err == nil {
		return
	}
	if e := (*proxy.Error)(nil); !errors.As(err, &e) {
		a.log.Error("a backup failed", "error", err.Error())
		err = &proxy.Error{Code: api.Internal, Message: "the backup failed; the server's log says why"}
	}
	httpapi.WriteError(w, err)
}

func (a *App) sendBackup(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("Origin") != "" {
		return &proxy.Error{Code: api.ScopeDenied, Message: "browsers are not served"}
	}
	token, err := httpapi.Bearer(r.Header)
	if err != nil {
		return err
	}
	source, _, _ := net.SplitHostPort(r.RemoteAddr)
	name := r.URL.Query().Get("upstream")
	call := &proxy.Call{Token: token, Surface: "admin", SourceIP: source, UserAgent: r.UserAgent()}
	vault, found := a.sources[name].(snapshotter)
	mine := false
	decision, err := a.Proxy.Backup(r.Context(), call, name, func() error {
		if !found {
			return &proxy.Error{Code: api.NotFound, Message: "there is no upstream of this name that can be backed up"}
		}
		if mine = a.copying.TryLock(); !mine {
			return &proxy.Error{Code: api.Overloaded, Message: "another backup is under way", RetryAfter: time.Second}
		}
		return nil
	})
	if mine {
		defer a.copying.Unlock()
	}
	if err != nil {
		return err
	}
	w.Header().Set("X-Keyhole-Decision", decision)
	begun := false
	err = vault.Snapshot(r.Context(), func(bytes int64) (io.Writer, error) {
		begun = true
		allowed := 2*requestTimeout + time.Duration(bytes/leastCopyRate)*time.Second
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(allowed)); err != nil {
			return nil, err
		}
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Length", strconv.FormatInt(bytes, 10))
		h.Set("Cache-Control", "private, no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		return w, nil
	})
	if err != nil && begun {
		a.log.Error("a backup was cut off", "error", err.Error())
		panic(http.ErrAbortHandler) // the rest of the body must not look like its end
	}
	return err
}
