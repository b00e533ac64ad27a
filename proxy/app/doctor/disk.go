package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/keyhole-edge/keyhole/proxy/audit"
)

// Below these a disk is full or soon will be. A server whose audit log cannot grow serves nothing.
const (
	leastFree = 16 << 20
	goodFree  = 256 << 20
	leastLeft = 64 // files
)

// disk asks how much room there is where the server writes, and whether the audit log can grow as large as retention
// lets it.
func disk(_ context.Context, p *patient) []Finding {
	var found []Finding
	roomy := ""
	for _, dir := range p.written() {
		free, total, files, err := space(dir)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return []Finding{ok("not looked at: this system cannot be asked", "")}
		case errors.Is(err, os.ErrNotExist):
			found = append(found, fail("the directory does not exist, and the server does not make it", dir, "mkdir -m 700 "+dir))
		case err != nil:
			found = append(found, fail(err.Error(), dir, "run this as the user of the server"))
		case free < leastFree || files < leastLeft:
			found = append(found, fail(fmt.Sprintf("%s and %d files left: writes and records fail, and nothing is served without a record", bytesOf(free), files), dir,
				"make room; the server goes on by itself when there is"))
		case free < goodFree || free < total/50:
			found = append(found, warn(bytesOf(free)+" left of "+bytesOf(total), dir, "make room before it is full: nothing is served without a record"))
		default:
			roomy = bytesOf(free) + " left"
		}
	}
	found = append(found, p.retention()...)
	if len(found) == 0 {
		found = append(found, ok(roomy, p.Dir))
	}
	return found
}

// written are the directories that a server writes in.
func (p *patient) written() []string {
	var dirs []string
	for _, u := range p.Upstreams {
		if u.Embedded != nil {
			dirs = append(dirs, filepath.Dir(p.Abs(u.Embedded.Path)))
		}
	}
	if p.State.File != nil {
		dirs = append(dirs, filepath.Dir(p.Abs(p.State.File.Path)))
	}
	for _, s := range p.Audit.Sinks {
		if s.File != nil {
			dirs = append(dirs, filepath.Dir(p.Abs(s.File.Path)))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// retention warns where audit files fill the disk before the oldest is removed.
func (p *patient) retention() (found []Finding) {
	for i, s := range p.Audit.Sinks {
		if s.File == nil {
			continue
		}
		path := p.Abs(s.File.Path)
		free, _, _, err := space(filepath.Dir(path))
		if err != nil {
			continue // told of already
		}
		var used uint64
		files, _ := audit.Files(path)
		for _, f := range files {
			if info, err := os.Stat(f); err == nil {
				used += uint64(info.Size())
			}
		}
		if most := uint64(s.File.Rotate) * uint64(s.File.Keep+1); most > free+used {
			found = append(found, warn(fmt.Sprintf("audit files may take %s, and there is room for %s", bytesOf(most), bytesOf(free+used)), path,
				fmt.Sprintf("make room, or lower audit.sinks[%d].keep or rotate", i)))
		}
	}
	return found
}

func bytesOf(n uint64) string {
	const unit = 1 << 10
	size, name := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size < unit {
			break
		}
		size, name = size/unit, next
	}
	return fmt.Sprintf("%.1f %s", size, name)
}
