package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/audit"
	"github.com/keyhole-edge/keyhole/proxy/secret"
)

func auditGrepCommand() *cobra.Command {
	var t target
	var f recordFilter
	var since, until string
	var files []string
	cmd := &cobra.Command{
		Use:   "grep [TEXT]",
		Short: "Print the records that match, one JSON line each",
		Long: `Print the records of the directory's logs, or of --file, that match every condition: the flags, and TEXT, which is
looked for in the line as it is. --path takes a pattern such as web/production/* or **/STRIPE_*. Each line is checked by
itself; only "keyhole audit verify" checks that none is missing. Exits 4 where nothing matches.`,
		Args: args(0, 1, "keyhole audit grep [TEXT]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				f.text = []byte(args[0])
			}
			if err := f.parse(since, until, time.Now()); err != nil {
				return err
			}
			if len(files) == 0 {
				c, err := loadConfig(&t)
				if err != nil {
					return err
				}
				if files, err = auditFiles(c); err != nil {
					return err
				}
			}
			found := 0
			for _, file := range files {
				n, err := f.grep(cmd.OutOrStdout(), file)
				if found += n; err != nil {
					return err
				}
			}
			if found == 0 {
				return &failure{code: exitNotFound, err: errors.New("no record matches")}
			}
			return nil
		},
	}
	t.operatorFlags(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&files, "file", nil, "log file to search, any number of times; default: all of the directory")
	flags.StringVar(&f.path, "path", "", "pattern of paths")
	flags.StringVar(&f.subject, "subject", "", "who asked")
	flags.StringVar(&f.tokenID, "token-id", "", "token that was used")
	flags.StringVar(&f.action, "action", "", "read, list, write, delete, rollback, versions, explain, report, authenticate, token_create …")
	flags.StringVar(&f.effect, "effect", "", "allow, deny or require_approval")
	flags.StringVar(&f.code, "code", "", "error code that was answered, such as policy_denied")
	flags.StringVar(&f.decision, "decision", "", "ID of a decision; finds both records of a change")
	flags.StringVar(&f.version, "version", "", "version that was served, written or reported")
	flags.StringVar(&since, "since", "", "from this time on: RFC 3339, or a duration before now such as 24h")
	flags.StringVar(&until, "until", "", "before this time, in the same forms")
	return cmd
}

// recordFilter is conditions on a record; the zero value of each means any.
type recordFilter struct {
	text                                                            []byte
	path, subject, tokenID, action, effect, code, decision, version string

	pattern      secret.Pattern
	since, until time.Time
}

func (f *recordFilter) parse(since, until string, now time.Time) (err error) {
	if f.path != "" {
		if f.pattern, err = secret.ParseConfigPattern(f.path); err != nil {
			return usage("--path: %w", err)
		}
	}
	if f.since, err = parseMoment(since, now); err != nil {
		return usage("--since %q: %w", since, err)
	}
	if f.until, err = parseMoment(until, now); err != nil {
		return usage("--until %q: %w", until, err)
	}
	return nil
}

// parseMoment reads a time, or a duration before now. "" is the zero time.
func parseMoment(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, errors.New("want a time such as 2026-11-21T10:00:00Z, or a duration such as 24h")
	}
	return at, nil
}

func (f *recordFilter) match(line []byte, r *audit.Record) bool {
	for _, c := range [...]struct{ want, have string }{
		{f.subject, r.Principal.Subject},
		{f.tokenID, r.Principal.TokenID},
		{f.action, r.Action},
		{f.effect, r.Decision.Effect},
		{f.code, r.Result.Code},
		{f.version, r.Resource.Version},
	} {
		if c.want != "" && c.want != c.have {
			return false
		}
	}
	switch {
	case f.decision != "" && f.decision != r.ID && f.decision != r.Pair,
		!f.since.IsZero() && r.Time.Before(f.since), !f.until.IsZero() && !r.Time.Before(f.until),
		!bytes.Contains(line, f.text):
		return false
	case f.path == "":
		return true
	}
	path, err := secret.ParsePath(r.Resource.Path)
	return err == nil && f.pattern.Match(path)
}

// grep prints what matches in one file. A line that is being written at its end is not there yet.
func (f *recordFilter) grep(w io.Writer, file string) (found int, err error) {
	in, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer func() { _ = in.Close() }()
	err = audit.Scan(in, func(line []byte, r *audit.Record) error {
		if !f.match(line, r) {
			return nil
		}
		found++
		_, err := w.Write(append(line, '\n'))
		return err
	})
	if err != nil && !errors.Is(err, audit.ErrTorn) {
		return found, fmt.Errorf("%s: %w", file, err)
	}
	return found, nil
}

// auditFiles is every file of the logs of a configuration, oldest first.
func auditFiles(c *config.Config) ([]string, error) {
	logs, err := auditLogs(c)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, log := range logs {
		files, err := audit.Files(log.path)
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return all, nil
}
