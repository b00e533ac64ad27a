// Command pack puts files into a zip of which the same files always make the same bytes, says how large both are, and
// fails where the first file is larger than its budget:
//
//	pack MAX_BYTES OUT.zip [FOLDER=]FILE…
//
// Each file is there under its last name, in the folder if there is one, may be run, and has the oldest date that a zip can
// have.
package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: pack MAX_BYTES OUT.zip [FOLDER=]FILE…")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(budget, out string, files []string) error {
	most, err := strconv.Atoi(budget)
	if err != nil {
		return fmt.Errorf("MAX_BYTES: %w", err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, arg := range files {
		folder, file, ok := strings.Cut(arg, "=")
		if !ok {
			folder, file = "", arg
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if i == 0 {
			fmt.Printf("%s: %d bytes, at most %d\n", file, len(data), most)
			if len(data) > most {
				return fmt.Errorf("%s is %d bytes over its budget", file, len(data)-most)
			}
		}
		h := &zip.FileHeader{Name: path.Join(folder, filepath.Base(file)), Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		h.SetMode(0o755)
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes\n", out, b.Len())
	return os.WriteFile(out, b.Bytes(), 0o600)
}
