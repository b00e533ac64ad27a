package app

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

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
	c, _, err := d.loadGiven(cmp.Or(strings.TrimSpace(given), filepath.Join(dir, "keyhole.json")), dir, environ)
	return c, err
}

// LoadBeside is LoadPackaged for a process beside a function. Where nothing is given the document is the first keyhole.json
// in the folders dirs, else what made makes. The listeners that it does not name are off, and PORT, which is the
// function's, sets nothing.
func (d Drivers) LoadBeside(given string, dirs, environ []string, made func() ([]byte, error)) (*config.Config, error) {
	given = strings.TrimSpace(given)
	for _, dir := range dirs {
		file := filepath.Join(dir, "keyhole.json")
		if _, err := os.Stat(file); given == "" && !errors.Is(err, fs.ErrNotExist) {
			given = file // or why it cannot be read
		}
	}
	if given == "" {
		document, err := made()
		if err != nil {
			return nil, err
		}
		given = string(document)
	}
	environ = slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return strings.HasPrefix(v, "PORT=") })
	c, doc, err := d.loadGiven(given, dirs[0], environ)
	if err != nil {
		return nil, err
	}
	if doc.Origin("listen.native") == "default" && doc.Origin("listen.native.address") == "default" {
		c.Listen.Native.Address = ""
	}
	if doc.Origin("listen.admin") == "default" {
		c.Listen.Admin = ""
	}
	return c, nil
}

// errNeitherDocumentNorFile does not quote the text, which may be a document that is broken at its first byte: functions
// tell whoever invokes them why they do not start.
var errNeitherDocumentNorFile = errors.New("KEYHOLE_CONFIG: want a document in JSON, which begins with {, or the name of a file that ends in .json")

// loadGiven reads a document in JSON, or the file that given names.
func (d Drivers) loadGiven(given, dir string, environ []string) (*config.Config, *config.Document, error) {
	switch {
	case strings.HasPrefix(given, "{"):
	case d.Documents[filepath.Ext(given)] == nil || strings.ContainsFunc(given, unicode.IsControl):
		return nil, nil, errNeitherDocumentNorFile
	default:
		return d.LoadDocument(given, environ)
	}
	file := filepath.Join(dir, "KEYHOLE_CONFIG")
	doc, err := config.ReadJSON(file, []byte(given))
	if err != nil {
		return nil, nil, err
	}
	return decode(file, doc, environ)
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
