package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/term"
)

// hangups tells the two meanings of SIGHUP apart for a program that people run in a terminal: where the terminal that it
// was started in is gone, the context ends; otherwise somebody asks to reload. stop ends both.
func hangups(ctx context.Context) (_ context.Context, reload <-chan os.Signal, stop func()) {
	ctx, end := context.WithCancel(ctx)
	lost := terminals()
	got, asked := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGHUP)
	go func() {
		defer signal.Stop(got)
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-got:
				if lost() {
					end()
					return
				}
				select {
				case asked <- s:
				default: // a reload is asked for already
				}
			}
		}
	}()
	return ctx, asked, end
}

// terminals looks which of the standard files are terminals, and returns whether one of them has been hung up since: a
// file of a terminal that was closed says that it is none.
func terminals() (lost func() bool) {
	var open []int
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if fd := int(f.Fd()); term.IsTerminal(fd) {
			open = append(open, fd)
		}
	}
	return func() bool { return slices.ContainsFunc(open, func(fd int) bool { return !term.IsTerminal(fd) }) }
}
