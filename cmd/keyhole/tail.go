package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/audit"
)

func auditTailCommand() *cobra.Command {
	var t target
	var follow bool
	count := 10
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the last records of the audit log, one JSON line each",
		Args:  args(0, 0, "keyhole audit tail"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(&t)
			if err != nil {
				return err
			}
			if auditFile(c) == "" {
				return errNoAudit
			}
			return tail(cmd.Context(), cmd.OutOrStdout(), c.Abs(auditFile(c)), count, follow)
		},
	}
	t.operatorFlags(cmd)
	cmd.Flags().IntVarP(&count, "lines", "n", 10, "how many records, of the current file")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on as records come")
	return cmd
}

// tail prints whole lines only. A file that is replaced, as after a failed write, is followed by name.
func tail(ctx context.Context, w io.Writer, path string, count int, follow bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	last := make([][]byte, 0, min(max(count, 0), 1<<10))
	in := bufio.NewReaderSize(f, 1<<16)
	var partial []byte
	for {
		line, err := in.ReadBytes('\n')
		partial = append(partial, line...)
		if err == nil {
			if count > 0 {
				if len(last) == count {
					last = append(last[:0], last[1:]...)
				}
				last = append(last, partial)
			}
			partial = nil
			continue
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		break
	}
	for _, l := range last {
		if _, err := w.Write(l); err != nil {
			return err
		}
	}
	for follow {
		line, err := in.ReadBytes('\n')
		partial = append(partial, line...)
		if err == nil {
			if _, err := w.Write(partial); err != nil {
				return err
			}
			partial = nil
			continue
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		if replaced(f, path) {
			return followOn(ctx, w, f, in, partial, path)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// followOn prints what is left of f, which has another name by now, and all of the files that came after it.
func followOn(ctx context.Context, w io.Writer, f *os.File, in *bufio.Reader, partial []byte, path string) error {
	rest, err := io.ReadAll(in) // what was written before it was replaced
	if err != nil {
		return err
	}
	if end := bytes.LastIndexByte(rest, '\n'); end >= 0 { // behind it stands what a failed write left
		if _, err := w.Write(append(partial, rest[:end+1]...)); err != nil {
			return err
		}
	}
	files, err := audit.Files(path)
	if err != nil {
		return err
	}
	for i, name := range files[:len(files)-1] {
		if replaced(f, name) {
			continue
		}
		for _, whole := range files[i+1 : len(files)-1] {
			if err := tail(ctx, w, whole, math.MaxInt, false); err != nil {
				return err
			}
		}
		break
	}
	return tail(ctx, w, path, math.MaxInt, true)
}

func replaced(f *os.File, path string) bool {
	now, err := os.Stat(path)
	if err != nil {
		return false
	}
	was, err := f.Stat()
	return err == nil && !os.SameFile(was, now)
}
