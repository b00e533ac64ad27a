package app

import (
	"cmp"
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

// Load reads the configuration file and applies the environment, which is in the form of os.Environ. The file's extension
// chooses the parser.
func (d Drivers) Load(file string, environ []string) (*config.Config, error) {
	c, _, err := d.LoadDocument(file, environ)
	return c, err
}

// LoadDocument is Load for who wants to know where each value came from.
func (d Drivers) LoadDocument(file string, environ []string) (*config.Config, *config.Document, error) {
	parse, ok := d.Documents[filepath.Ext(file)]
	if !ok {
		return nil, nil, fmt.Errorf("%s: this program reads configuration in files named *%s", file, strings.Join(slices.Sorted(maps.Keys(d.Documents)), ", *"))
	}
	data, err := readBounded(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the configuration: %w", err)
	}
	doc, err := parse(file, data)
	if err != nil {
		return nil, nil, err
	}
	return decode(file, doc, environ)
}

// LoadPackaged is Load for a function, which brings its configuration along: given is the JSON document itself, or the
// file that it is in; where it is empty that is keyhole.json in the folder dir of the package. Relative paths are relative
// to that folder, or to that of the file.
func (d Drivers) LoadPackaged(given, dir string, environ []string) (*config.Config, error) {
	if !strings.HasPrefix(strings.TrimSpace(given), "{") {
		return d.Load(cmp.Or(given, filepath.Join(dir, "keyhole.json")), environ)
	}
	file := filepath.Join(dir, "KEYHOLE_CONFIG")
	doc, err := config.ReadJSON(file, []byte(given))
	if err != nil {
		return nil, err
	}
	c, _, err := decode(file, doc, environ)
	return c, err
}

func decode(file string, doc *config.Document, environ []string) (*config.Config, *config.Document, error) {
	if err := doc.ApplyEnv(environ); err != nil {
		return nil, nil, err
	}
	c, err := doc.Decode()
	if err != nil {
		return nil, nil, err
	}
	if c.Dir, err = filepath.Abs(filepath.Dir(file)); err != nil {
		return nil, nil, err
	}
	return c, doc, nil
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, config.MaxJSONBytes+1))
	if err == nil && len(data) > config.MaxJSONBytes {
		err = errors.New("larger than 32 MiB")
	}
	return data, err
}
