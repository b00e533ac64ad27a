package guard

import (
	"context"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Reader is the part of secret.Upstream that is guarded; Close is its owner's business.
type Reader interface {
	Read(ctx context.Context, name string, v secret.Version) (*secret.Secret, error)
}

// Reader returns r behind the guard.
func (g *Guard) Reader(r Reader) Reader {
	if g == nil {
		return r
	}
	return reader{g, r, (*Guard).Retry}
}

// Part is Reader for reads that are parts of a longer one, such as a listing that looks into objects: that the caller's
// deadline comes in the middle of one is no failure of the upstream.
func (g *Guard) Part(r Reader) Reader {
	if g == nil {
		return r
	}
	return reader{g, r, (*Guard).part}
}

// Lister returns l behind the guard; nil stays nil.
func (g *Guard) Lister(l secret.Lister) secret.Lister {
	if g == nil || l == nil {
		return l
	}
	return lister{g, l}
}

// Writer returns w behind the guard; nil stays nil. No write is tried again.
func (g *Guard) Writer(w secret.Writer) secret.Writer {
	if g == nil || w == nil {
		return w
	}
	return writer{g, w}
}

// Deleter returns d behind the guard; nil stays nil. No deletion is tried again.
func (g *Guard) Deleter(d secret.Deleter) secret.Deleter {
	if g == nil || d == nil {
		return d
	}
	return deleter{g, d}
}

// Versioner returns v behind the guard; nil stays nil.
func (g *Guard) Versioner(v secret.Versioner) secret.Versioner {
	if g == nil || v == nil {
		return v
	}
	return versioner{g, v}
}

type reader struct {
	g   *Guard
	r   Reader
	how func(*Guard, context.Context, string, func(context.Context) error) error
}

func (r reader) Read(ctx context.Context, name string, v secret.Version) (s *secret.Secret, err error) {
	err = r.how(r.g, ctx, name, func(ctx context.Context) (err error) {
		s, err = r.r.Read(ctx, name, v)
		return err
	})
	return s, err
}

type lister struct {
	g *Guard
	l secret.Lister
}

func (l lister) List(ctx context.Context, prefix, after string, limit int) (items []secret.Item, err error) {
	err = l.g.walk(ctx, func(ctx context.Context) (err error) {
		items, err = l.l.List(ctx, prefix, after, limit)
		return err
	})
	return items, err
}

type writer struct {
	g *Guard
	w secret.Writer
}

func (w writer) Write(ctx context.Context, name string, c secret.Write) (v secret.Version, created bool, err error) {
	err = w.g.Do(ctx, func(ctx context.Context) (err error) {
		v, created, err = w.w.Write(ctx, name, c)
		return err
	})
	return v, created, err
}

type deleter struct {
	g *Guard
	d secret.Deleter
}

func (d deleter) Delete(ctx context.Context, name string) error {
	return d.g.Do(ctx, func(ctx context.Context) error { return d.d.Delete(ctx, name) })
}

type versioner struct {
	g *Guard
	v secret.Versioner
}

func (v versioner) Versions(ctx context.Context, name string) (infos []secret.VersionInfo, err error) {
	err = v.g.Retry(ctx, name, func(ctx context.Context) (err error) {
		infos, err = v.v.Versions(ctx, name)
		return err
	})
	return infos, err
}
