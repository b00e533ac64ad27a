package app

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
)

// MaxDocumentBytes bounds a configuration document.
const MaxDocumentBytes = 1 << 20

// Load reads the configuration file and applies the environment, which is in the form of os.Environ. The file's extension
// chooses the parser.
func (d Drivers) Load(file string, environ []string) (*config.Config, error) {
	parse, ok := d.Documents[filepath.Ext(file)]
	if !ok {
		return nil, fmt.Errorf("%s: this program reads configuration in files named *%s", file, strings.Join(slices.Sorted(maps.Keys(d.Documents)), ", *"))
	}
	data, err := readBounded(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	root, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	doc := config.NewDocument(file, root)
	if err := doc.ApplyEnv(environ); err != nil {
		return nil, err
	}
	c, err := doc.Decode()
	if err != nil {
		return nil, err
	}
	if c.Dir, err = filepath.Abs(filepath.Dir(file)); err != nil {
		return nil, err
	}
	return c, nil
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, MaxDocumentBytes+1))
	if err == nil && len(data) > MaxDocumentBytes {
		err = errors.New("larger than 1 MiB")
	}
	return data, err
}
