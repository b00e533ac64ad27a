package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/app/vaultfile"
)

// permissions looks for what others than the server's user may read or write.
func permissions(_ context.Context, p *patient) []Finding {
	if runtime.GOOS == "windows" {
		return []Finding{ok("not looked at: this system has no such bits", "")}
	}
	var found []Finding
	for _, file := range p.private() {
		found = append(found, mode(file, 0o077, "others may use it", "chmod 600 "+file)...)
	}
	for _, file := range p.trusted() {
		found = append(found, mode(file, 0o022, "others may write it, and so decide who gets what", "chmod go-w "+file)...)
	}
	for _, dir := range p.directories() {
		found = append(found, mode(dir, 0o022, "others may write in it, and so replace its files", "chmod go-w "+dir)...)
	}
	if len(found) == 0 {
		found = append(found, ok("keys, vault, state and audit log are the server's alone", p.Dir))
	}
	return found
}

func mode(path string, forbidden os.FileMode, what, fix string) []Finding {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // its own check tells
	case err != nil:
		return []Finding{fail(err.Error(), path, "run this as the user of the server; that user must reach the file")}
	}
	var found []Finding
	if m := info.Mode(); m.Perm()&forbidden != 0 && (m&os.ModeSticky == 0 || !m.IsDir()) {
		found = append(found, fail(fmt.Sprintf("mode %04o: %s", m.Perm(), what), path, fix))
	}
	if owner, known := foreign(info); known {
		found = append(found, warn(fmt.Sprintf("it belongs to user %d, not to the one who runs this", owner), path, "run this, and the server, as one user"))
	}
	return found
}

// private are files that only the server's user may read.
func (p *patient) private() []string {
	refs := []config.Ref{p.Identity.SigningKey, p.Audit.Key}
	var files []string
	for _, v := range vaultfile.All(p.Config, p.set.Getenv) {
		refs, files = append(refs, v.Key), append(files, v.Path)
	}
	for _, u := range p.Upstreams {
		of := u.Refs()
		refs = append(refs, of["auth.token"], of["auth.secret_id"], of["auth.key"], of["tls.key"])
	}
	for _, h := range p.Hooks {
		refs = append(refs, h.Key, h.OldKey)
	}
	if t := p.Listen.Native.TLS; t != nil {
		refs = append(refs, t.Key)
	}
	files = append(files, p.files(refs)...)
	if p.State.File != nil {
		files = append(files, p.Abs(p.State.File.Path))
	}
	for _, s := range p.Audit.Sinks {
		if s.File != nil {
			files = append(files, p.Abs(s.File.Path))
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// trusted are files that others may read, but not write.
func (p *patient) trusted() []string {
	files := []string{p.set.File}
	refs := []config.Ref{p.Identity.Keys}
	for _, b := range p.Policy.Chain {
		refs = append(refs, b.Bundle)
	}
	for _, u := range p.Upstreams {
		refs = append(refs, u.Refs()["tls.ca"])
	}
	return append(files, p.files(refs)...)
}

// files are those that references lead to.
func (p *patient) files(refs []config.Ref) (out []string) {
	for _, r := range refs {
		if r.Scheme == "file" {
			out = append(out, p.Abs(r.Name))
		}
	}
	return out
}

// directories are those of all these files.
func (p *patient) directories() []string {
	dirs := []string{p.Dir}
	for _, file := range slices.Concat(p.private(), p.trusted()) {
		dirs = append(dirs, filepath.Dir(file))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}
